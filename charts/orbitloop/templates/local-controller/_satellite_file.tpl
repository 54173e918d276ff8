{{/* satellite.toml, but for the satellite's name: localController of the values. */}}
{{- define "orbitloop.satelliteFile" -}}
{{- if regexMatch "(?m)^\\s*\\[\\s*(worker|local_controller|stations)" .settings -}}
{{- fail "localController.settings: write worker, controller and stations beside it; the chart makes their tables" -}}
{{- end -}}
satellite = "@SATELLITE@"
folder = {{ .folder | toJson }}
keys = "/keys"
{{- with .settings }}
{{ . | trim }}
{{- end }}

[worker]
frames = {{ .frames | toJson }}
{{- range $name, $value := .worker }}
{{ $name }} = {{ $value | toJson }}
{{- end }}

[local_controller]
root = "/node"
model_folders = {{ .modelFolders | toJson }}
{{- range $name, $value := .controller }}
{{ $name }} = {{ $value | toJson }}
{{- end }}
{{- range $name, $station := .stations }}

[stations.{{ $name | toJson }}]
gateway = {{ $station.gateway | toJson }}
{{- with $station.datagrams }}
datagrams = {{ . | toJson }}
{{- end }}
{{- end }}
{{- end }}
