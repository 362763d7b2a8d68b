{{- define "nextup.name" -}}
{{- if contains "nextup" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-nextup{{ end -}}
{{- end -}}

{{- define "nextup.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "nextup.selector" -}}
app.kubernetes.io/name: nextup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nextup.labels" -}}
{{ include "nextup.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "nextup.claim" -}}
{{ .Values.volume.existingClaim | default (printf "%s-data" (include "nextup.name" .)) }}
{{- end -}}

{{/* The Secret with the admin's password; empty where there is none. */}}
{{- define "nextup.admin" -}}
{{- if .Values.admin.existing -}}
{{ .Values.admin.existing }}
{{- else if .Values.admin.generate -}}
{{ include "nextup.name" . }}-admin
{{- end -}}
{{- end -}}

{{- define "nextup.several" -}}
{{- if or .Values.api.autoscaling.enabled (gt (int .Values.api.replicas) 1) .Values.stream.enabled }}yes{{ end -}}
{{- end -}}
