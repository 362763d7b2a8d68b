{{/* What no schema can say. Each message says what is wrong and what helps. */}}

{{- define "nextup.checks" -}}
{{- if and .Values.secret.existing .Values.secret.data -}}
{{- fail "secret.existing and secret.data exclude each other: put everything into the Secret that you name, or leave secret.existing empty." -}}
{{- end -}}
{{- if and (include "nextup.several" .) (not .Values.secret.existing) -}}
{{- range $port := list "event_log" "catalog" "control" "recommendation_store" "online_state" -}}
{{- $variable := printf "NEXTUP_%s_URL" (upper $port) -}}
{{- $url := get $.Values.secret.data $variable | default (get $.Values.settings (printf "%s_url" $port)) | default "sqlite:" -}}
{{- if or (hasPrefix "sqlite:" $url) (hasPrefix "memory:" $url) -}}
{{- fail (printf "Several pods cannot share %s: set secret.data.%s to a server (postgresql://...), name a Secret that has it in secret.existing, or install with values-single.yaml." ($url | trimSuffix ":" | printf "%s_url = %s" $port) $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.volume.existingClaim (not .Values.volume.enabled) -}}
{{- fail "volume.existingClaim is named while volume.enabled is false: enable the volume, or do not name a claim." -}}
{{- end -}}
{{- if and (include "nextup.several" .) .Values.volume.enabled (not .Values.volume.existingClaim) (eq .Values.volume.accessMode "ReadWriteOncePod") -}}
{{- fail "Several pods cannot share a volume of access mode ReadWriteOncePod: use ReadWriteMany, or ReadWriteOnce where there is one node." -}}
{{- end -}}
{{- if .Values.api.autoscaling.enabled -}}
{{- if gt (int .Values.api.autoscaling.min) (int .Values.api.autoscaling.max) -}}
{{- fail (printf "api.autoscaling.min (%d) is more than max (%d)." (int .Values.api.autoscaling.min) (int .Values.api.autoscaling.max)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.api.ingress.enabled (not .Values.api.ingress.host) -}}
{{- fail "api.ingress.enabled needs api.ingress.host, the name under which the API is asked." -}}
{{- end -}}
{{- if eq (dig "access" "auth" "keys" .Values.settings) "none" -}}
{{- fail "settings.access.auth = none would let everybody in the cluster do everything, and the server refuses to start: leave it at keys." -}}
{{- end -}}
{{- end -}}
