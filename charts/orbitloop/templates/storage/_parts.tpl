{{/* A Secret's value that is made once: what lies there already, or chance: (dict "root" $ "secret" name "key" key). */}}
{{- define "orbitloop.madeOnce" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret | default dict -}}
{{- get (get $found "data" | default dict) .key | default (randAlphaNum 32 | b64enc) -}}
{{- end }}

{{/* Whether a Secret is made here, or was by this release: it remains part of it, or a rollback to when it was asked for
     would find it in its way. (dict "root" $ "secret" name "asked" whether-a-value-asks-for-it) */}}
{{- define "orbitloop.keepsSecret" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret | default dict -}}
{{- $notes := get (get $found "metadata" | default dict) "annotations" | default dict -}}
{{- if or .asked (eq (get $notes "meta.helm.sh/release-name") .root.Release.Name) }}yes{{ end -}}
{{- end }}

{{/* The volume `data` of a StatefulSet: a folder of the node, or a claim, which stays when the release goes:
     (dict "name" name "kept" persistence). */}}
{{- define "orbitloop.dataClaim" -}}
{{- if not .kept.hostPath }}
volumeClaimTemplates:
  - metadata:
      name: data
      labels:
        app.kubernetes.io/name: {{ .name }}
        app.kubernetes.io/part-of: orbitloop
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: {{ .kept.size }}}}
      {{- with .kept.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
{{- end }}
{{- end }}
{{- define "orbitloop.dataFolder" -}}
{{- with .hostPath }}
- name: data
  hostPath: {path: {{ . }}, type: DirectoryOrCreate}
{{- end }}
{{- end }}

{{/* A folder of the node belongs to root: (dict "root" $ "image" image "user" uid "kept" persistence "path" mount). */}}
{{- define "orbitloop.keptFolder" -}}
{{- if .kept.hostPath }}
initContainers:
  - name: folders
    image: {{ .image }}
    imagePullPolicy: {{ .root.Values.images.pullPolicy }}
    command: [install, -d, -o, {{ .user | quote }}, -g, {{ .user | quote }}, -m, "0700", {{ .path }}]
    securityContext: {{- include "orbitloop.preparing" .root | nindent 6 }}
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
    volumeMounts:
      - {name: data, mountPath: {{ .path }}}
{{- end }}
{{- end }}

{{/* Where gateway and exporters find ledger and blobs; $ is the root. */}}
{{- define "orbitloop.storageEnvironment" -}}
{{- $database := .Values.database -}}
{{- $objects := .Values.objects -}}
{{- if eq $database.kind "external" }}
- name: ORBITLOOP_GROUND_DATABASE
  valueFrom: {secretKeyRef: {name: {{ $database.urlSecret }}, key: url}}
{{- else if eq $database.kind "builtin" }}
- {name: ORBITLOOP_GROUND_DATABASE, value: "postgresql://orbitloop@orbitloop-postgresql.{{ .Release.Namespace }}:5432/orbitloop"}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $database.builtin.existingSecret | default "orbitloop-postgresql" }}, key: password}}
{{- end }}
{{- if ne $objects.kind "folder" }}
{{- $builtin := eq $objects.kind "builtin" }}
{{- $endpoint := $builtin | ternary (printf "http://orbitloop-minio.%s:9000" .Release.Namespace) $objects.endpoint }}
- {name: ORBITLOOP_GROUND_BLOBS, value: "s3://{{ $objects.bucket }}{{ with $objects.prefix }}/{{ . }}{{ end }}"}
{{- with $endpoint }}
- {name: ORBITLOOP_GROUND_BLOBS_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $builtin | ternary ($objects.builtin.existingSecret | default "orbitloop-minio") $objects.secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: accessKey}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: secretKey}}
{{- end }}
{{- with $objects.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* host:port of what is builtin, which has to be there before the gateway; $ is the root. */}}
{{- define "orbitloop.awaited" -}}
{{- if eq .Values.database.kind "builtin" }} orbitloop-postgresql.{{ .Release.Namespace }}:5432{{ end -}}
{{- if eq .Values.objects.kind "builtin" }} orbitloop-minio.{{ .Release.Namespace }}:9000{{ end -}}
{{- end }}
