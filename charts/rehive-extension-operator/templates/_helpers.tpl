{{/*
The prefix of all names. A release called rehive-extension has the names of config/default.
*/}}
{{- define "rehive.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- end }}

{{- define "rehive.labels" -}}
{{ include "rehive.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: rehive-extension-operator
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "rehive.selectorLabels" -}}
app.kubernetes.io/name: rehive-extension-operator
{{- end }}

{{- define "rehive.managerLabels" -}}
app.kubernetes.io/component: manager
{{ include "rehive.selectorLabels" . }}
{{- end }}

{{- define "rehive.serviceAccount" -}}
{{ include "rehive.fullname" . }}-controller-manager
{{- end }}

{{- define "rehive.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/*
The host of settings.public-url.
*/}}
{{- define "rehive.host" -}}
{{- get (urlParse (index .Values.settings "public-url")) "host" -}}
{{- end }}

{{- define "rehive.collector" -}}
{{- required "tracing.endpoint is required if tracing is enabled: set it to the URL of your OpenTelemetry collector, such as http://collector.observability:4318" .Values.tracing.endpoint -}}
{{- end }}

{{/*
The manager's settings: what the values say, as a flag's name and its value.
*/}}
{{- define "rehive.settings" -}}
{{- $settings := dict -}}
{{- if eq .Values.ledger.type "postgres" -}}
{{- $_ := set $settings "leader-elect" "true" -}}
{{- $_ := set $settings "ledger-url" (required "ledger.postgres.url is required if ledger.type is postgres: set it to the database, such as postgres://user@host:5432/database?sslmode=verify-full" .Values.ledger.postgres.url) -}}
{{- end -}}
{{- if .Values.clusterWide -}}
{{- $_ := set $settings "watch-namespaces" "*" -}}
{{- else if .Values.watchNamespaces -}}
{{- $_ := set $settings "watch-namespaces" (join "," .Values.watchNamespaces) -}}
{{- end -}}
{{- range $flag, $value := .Values.settings -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- if kindIs "float64" $value -}}
{{- $value = printf "%v" (ternary (int64 $value) $value (eq (floor $value) $value)) -}}
{{- end -}}
{{- $_ := set $settings $flag (toString $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end }}

{{- define "rehive.configData" -}}
{{- range $flag, $value := include "rehive.settings" . | fromYaml }}
REHIVE_EXTENSION_{{ $flag | replace "-" "_" | upper }}: {{ $value | quote }}
{{- end }}
{{- end }}
