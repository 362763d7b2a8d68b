{{/* What all pods have in common. They are called with (dict "root" $ "part" "api" "suffix" ""). */}}

{{- define "nextup.podLabels" -}}
{{ include "nextup.labels" .root }}
app.kubernetes.io/component: {{ .part }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nextup.podAnnotations" -}}
checksum/settings: {{ include "nextup.toml" .root | sha256sum }}
checksum/secret: {{ .root.Values.secret | toJson | sha256sum }}
{{- with .root.Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nextup.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.user }}
  runAsGroup: {{ .root.Values.user }}
  fsGroup: {{ .root.Values.user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: home
    emptyDir: {}
  - name: tmp
    emptyDir: {}
  - name: settings
    configMap:
      name: {{ include "nextup.name" .root }}{{ .suffix }}
{{- if .root.Values.volume.enabled }}
  - name: data
{{- if .noClaim }}
    emptyDir: {}
{{- else }}
    persistentVolumeClaim:
      claimName: {{ include "nextup.claim" .root }}
{{- end }}
{{- end }}
{{- with .root.Values.volumes }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{- define "nextup.container" -}}
image: {{ include "nextup.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
workingDir: /platform
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
{{- if .root.Values.secret.existing }}
  - secretRef:
      name: {{ .root.Values.secret.existing }}
{{- else }}
  - secretRef:
      name: {{ include "nextup.name" .root }}{{ .suffix }}
{{- end }}
volumeMounts:
  - name: home
    mountPath: /platform
  - name: tmp
    mountPath: /tmp
  - name: settings
    mountPath: /platform/nextup.toml
    subPath: nextup.toml
    readOnly: true
{{- if .root.Values.volume.enabled }}
  - name: data
    mountPath: /platform/data
{{- end }}
{{- with .root.Values.mounts }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{- define "nextup.env" -}}
- name: HOME
  value: /tmp
{{- if and .root.Values.volume.enabled (not (dig "schedule" "backup_folder" "" .root.Values.settings)) }}
- name: NEXTUP_SCHEDULE__BACKUP_FOLDER # on the volume
  value: data/backups
{{- end }}
{{- $admin := include "nextup.admin" .root }}
{{- if and $admin (ne .suffix "-migrate") }}
- name: NEXTUP_ACCESS__ADMIN_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $admin }}
      key: password
{{- end }}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nextup.toml" -}}
{{- $settings := deepCopy .Values.settings }}
{{- include "nextup.whole" $settings -}}
# Made by Helm from `settings`.
{{ toToml $settings }}
{{- end -}}

{{/* Helm reads every number as one with a point; 16 must not become 16.0. Changes what it is given. */}}
{{- define "nextup.whole" -}}
{{- range $name, $value := . }}
{{- if kindIs "map" $value }}
{{- include "nextup.whole" $value }}
{{- else if and (kindIs "float64" $value) (eq $value (floor $value)) }}
{{- $_ := set $ $name (int64 $value) }}
{{- end }}
{{- end }}
{{- end -}}
