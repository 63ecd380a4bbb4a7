{{/* Whatever the release is called, two of them do not meet. */}}
{{- define "pointsman.name" -}}
{{- if contains "pointsman" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-pointsman{{ end -}}
{{- end }}

{{- define "pointsman.selector" -}}
app.kubernetes.io/name: pointsman
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pointsman.labels" -}}
{{ include "pointsman.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
