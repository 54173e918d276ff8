{{/* A Local Controller: (dict "root" $ "satellite" entry-of-localController.satellites, or nothing for all edge nodes). */}}
{{- define "orbitloop.localController" -}}
{{- $root := .root -}}
{{- $told := $root.Values.localController -}}
{{- $satellite := .satellite -}}
{{- $image := include "orbitloop.image" (dict "root" $root "name" "edge") -}}
{{- $name := empty $satellite | ternary "orbitloop-local-controller" (printf "orbitloop-satellite-%s" (get ($satellite | default dict) "name")) -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app.kubernetes.io/name: orbitloop-local-controller
    {{- include "orbitloop.labels" $root | nindent 4 }}
spec:
  selector:
    matchLabels: {app.kubernetes.io/name: orbitloop-local-controller, orbitloop.io/daemon: {{ $name }}}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: orbitloop-local-controller
        app.kubernetes.io/part-of: orbitloop
        orbitloop.io/daemon: {{ $name }}
      annotations: {orbitloop.io/satellite-file: {{ include "orbitloop.satelliteFile" $told | sha256sum }}}
    spec:
      # A node that starts out of contact brings back only pods without a token; it has no DNS and no Services.
      automountServiceAccountToken: false
      enableServiceLinks: false
      hostNetwork: true
      dnsPolicy: Default
      {{- include "orbitloop.pull" $root | nindent 6 }}
      securityContext: {{- include "orbitloop.user" $told.user | nindent 8 }}
      {{- with $told.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $told.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or $satellite $told.satellites }}
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  {{- if $satellite }}
                  - {key: kubernetes.io/hostname, operator: In, values: [{{ $satellite.node | default $satellite.name }}]}
                  {{- else }}
                  - key: kubernetes.io/hostname
                    operator: NotIn
                    values:
                      {{- range $told.satellites }}
                      - {{ .node | default .name }}
                      {{- end }}
                  {{- end }}
      {{- end }}
      initContainers:
        # Folders of the node and keys belong to root there; what runs on board does not.
        - name: prepare
          image: {{ $image }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [sh, -c]
          args:
            - |
              set -eu
              install -d -o "$OWNER" -g "$OWNER" -m 0750 "$FOLDER"
              for folder in $MODEL_FOLDERS; do install -d -o "$OWNER" -g "$OWNER" -m 0755 "$folder"; done
              for name in satellite.key satellite.pem authority.pem link.key ground.pub; do
                if [ ! -e "$FROM/$name" ]; then
                  echo "{{ $satellite | empty | ternary $told.keysFolder (printf "the Secret %s" (get ($satellite | default dict) "keysSecret")) }} has no $name; put the whole folder build/keys/satellites/$SATELLITE there" >&2
                  exit 1
                fi
                install -o "$OWNER" -g "$OWNER" -m 0600 "$FROM/$name" "$KEYS/$name"
              done
              sed "s/@SATELLITE@/$SATELLITE/" "$CONFIG/satellite.toml" >"$RUN/satellite.toml"
          env:
            - name: SATELLITE
              {{- if $satellite }}
              value: {{ $satellite.name | quote }}
              {{- else }}
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
              {{- end }}
            - {name: OWNER, value: {{ $told.user | quote }}}
            - {name: FROM, value: /from}
            - {name: KEYS, value: /keys}
            - {name: CONFIG, value: /config}
            - {name: RUN, value: /run/orbitloop}
            - {name: FOLDER, value: {{ $told.folder | quote }}}
            - name: MODEL_FOLDERS
              value: "{{ range $told.modelFolders }} /node{{ . }}{{ end }}"
          securityContext: {{- include "orbitloop.preparing" $root | nindent 12 }}
          resources:
            requests: {cpu: 10m, memory: 16Mi}
            limits: {memory: 64Mi}
          volumeMounts:
            - {name: from, mountPath: /from, readOnly: true}
            {{- include "orbitloop.onBoard" $told | nindent 12 }}
        {{- if $told.model }}
        - name: install
          image: {{ $image }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [sh, -c]
          args: ['[ -e "$FOLDER/slots/state.json" ] || exec orbitloop-edge install --config /run/orbitloop/satellite.toml --model /model']
          env:
            - {name: FOLDER, value: {{ $told.folder | quote }}}
          securityContext: {{- include "orbitloop.confined" $root | nindent 12 }}
          resources: {{- toYaml $told.resources | nindent 12 }}
          volumeMounts:
            - {name: model, mountPath: /model, readOnly: true}
            {{- include "orbitloop.onBoard" $told | nindent 12 }}
        {{- end }}
      containers:
        - name: local-controller
          image: {{ $image }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [orbitloop-edge, run, --config, /run/orbitloop/satellite.toml]
          ports:
            - {name: workers, containerPort: 9100, hostIP: 127.0.0.1}
          startupProbe:
            httpGet: &healthy {host: 127.0.0.1, path: /healthz, port: 9100}
            failureThreshold: 60
            periodSeconds: 2
          livenessProbe:
            httpGet: *healthy
            periodSeconds: 30
            timeoutSeconds: 10
          readinessProbe:
            httpGet: *healthy
            periodSeconds: 15
            timeoutSeconds: 10
          securityContext: {{- include "orbitloop.confined" $root | nindent 12 }}
          resources: {{- toYaml $told.resources | nindent 12 }}
          volumeMounts: {{- include "orbitloop.onBoard" $told | nindent 12 }}
      volumes:
        - name: tmp
          emptyDir: {}
        - name: keys
          emptyDir: {medium: Memory}
        - name: run
          emptyDir: {}
        - name: config
          configMap: {name: orbitloop-local-controller}
        - name: from
          {{- if $satellite }}
          secret: {secretName: {{ $satellite.keysSecret }}, defaultMode: 0400}
          {{- else }}
          hostPath: {path: {{ $told.keysFolder }}, type: Directory}
          {{- end }}
        - name: folder
          hostPath: {path: {{ $told.folder }}, type: DirectoryOrCreate}
        - name: frames
          hostPath: {path: {{ $told.frames }}, type: DirectoryOrCreate}
        {{- with $told.model }}
        - name: model
          hostPath: {path: {{ . }}, type: Directory}
        {{- end }}
        {{- range $number, $path := $told.dataFolders }}
        - name: data-{{ $number }}
          hostPath: {path: {{ $path }}, type: DirectoryOrCreate}
        {{- end }}
        {{- range $number, $path := $told.modelFolders }}
        - name: models-{{ $number }}
          hostPath: {path: {{ $path }}, type: DirectoryOrCreate}
        {{- end }}
{{- end }}

{{/* What the processes on board see of disks; the node's files are below /node. */}}
{{- define "orbitloop.onBoard" -}}
- {name: tmp, mountPath: /tmp}
- {name: keys, mountPath: /keys}
- {name: run, mountPath: /run/orbitloop}
- {name: config, mountPath: /config, readOnly: true}
- {name: folder, mountPath: {{ .folder }}}
- {name: frames, mountPath: {{ .frames }}}
{{- range $number, $path := .dataFolders }}
- {name: data-{{ $number }}, mountPath: /node{{ $path }}, readOnly: true}
{{- end }}
{{- range $number, $path := .modelFolders }}
- {name: models-{{ $number }}, mountPath: /node{{ $path }}}
{{- end }}
{{- end }}
