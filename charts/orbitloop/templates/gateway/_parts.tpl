{{/* What gateway and exporters see of disks. */}}
{{- define "orbitloop.gatewayFolders" -}}
- {name: tmp, mountPath: /tmp}
- {name: folder, mountPath: /var/lib/orbitloop}
- {name: keys, mountPath: /keys, readOnly: true}
- {name: keys-secret, mountPath: /secret/keys, readOnly: true}
- {name: links-secret, mountPath: /secret/links, readOnly: true}
{{- range $number, $folder := .shared }}
- {name: shared-{{ $number }}, mountPath: {{ $folder.path }}}
{{- end }}
{{- end }}

{{/* What an exporter needs; one with a teacher has torch and a model in memory. */}}
{{- define "orbitloop.exportResources" -}}
{{- if .exportResources }}
{{- toYaml .exportResources }}
{{- else }}
requests: {cpu: 20m, memory: {{ empty .teacher | ternary "128Mi" "1Gi" }}}
limits: {memory: {{ empty .teacher | ternary "512Mi" "3Gi" }}}
{{- end }}
{{- end }}

{{/* What gateway and exporters are told alike; $ is the root. */}}
{{- define "orbitloop.gatewayEnvironment" -}}
- {name: ORBITLOOP_GROUND_FOLDER, value: /var/lib/orbitloop}
- {name: ORBITLOOP_GROUND_KEYS, value: /keys}
{{- with .Values.gateway.teacher }}
- {name: ORBITLOOP_GROUND_TEACHER, value: {{ . | quote }}}
{{- end }}
{{- include "orbitloop.storageEnvironment" . }}
{{- include "orbitloop.environment" (dict "prefix" "ORBITLOOP_GROUND_" "settings" .Values.gateway.settings) }}
{{- end }}
