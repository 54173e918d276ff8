{{/* What everything carries; $ is the root. */}}
{{- define "orbitloop.labels" -}}
app.kubernetes.io/part-of: orbitloop
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* An image by its short name: (dict "root" $ "name" "ground"). */}}
{{- define "orbitloop.image" -}}
{{- $images := .root.Values.images -}}
{{- printf "%s/orbitloop-%s:%s" $images.registry .name ($images.tag | default .root.Chart.AppVersion) -}}
{{- end }}

{{/* What every container may: nothing. */}}
{{- define "orbitloop.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Root that gives folders and files to the process's user, and may do nothing else. */}}
{{- define "orbitloop.preparing" -}}
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL], add: [CHOWN, DAC_OVERRIDE, FOWNER]}
{{- end }}

{{/* A process's user. */}}
{{- define "orbitloop.user" -}}
runAsUser: {{ . }}
runAsGroup: {{ . }}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Settings as the environment has them: (dict "prefix" "ORBITLOOP_GROUND_" "settings" map). */}}
{{- define "orbitloop.environment" -}}
{{- $prefix := .prefix -}}
{{- range $name, $value := .settings }}
- name: {{ printf "%s%s" $prefix (upper $name) }}
  value: {{ (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
{{- end }}
{{- end }}

{{/* Where pods of the ground run: never on a satellite. */}}
{{- define "orbitloop.onTheGround" -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: node-role.kubernetes.io/edge, operator: DoesNotExist}
{{- with .Values.ground.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.ground.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "orbitloop.pull" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* PodDisruptionBudgets, as the server has them: policy/v1 from Kubernetes 1.21 on. */}}
{{- define "orbitloop.policy" -}}
{{- semverCompare "<1.21-0" .Capabilities.KubeVersion.Version | ternary "policy/v1beta1" "policy/v1" -}}
{{- end }}
