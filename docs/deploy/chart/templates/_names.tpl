{{- define "strata.name" -}}
{{- if contains "strata" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-strata" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "strata.selector" -}}
app.kubernetes.io/name: strata
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "strata.labels" -}}
{{ include "strata.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "strata.operatorsSecret" -}}
{{ .Values.operators.existingSecret | default (printf "%s-operators" (include "strata.name" .)) }}
{{- end }}

{{/* local: whether images are kept on the volume. One program at a time may use it. */}}
{{- define "strata.local" -}}
{{- $storage := .Values.config.storage | default dict -}}
{{- if not (omit $storage "filesystem" | len) -}}true{{- end -}}
{{- end }}

{{- define "strata.config" -}}
{{- $admin := dict "listen" (printf "0.0.0.0:%v" .Values.metrics.port) "token_file" "/run/secrets/strata/token" "hosts" .Values.operators.hosts -}}
{{- $own := dict "listen" "0.0.0.0:5000" "work_dir" "/work/strata" "admin" $admin -}}
{{- if include "strata.local" . -}}
{{- $_ := set $own "storage" (dict "filesystem" (dict "rootdirectory" "/var/lib/strata/data")) -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end }}
