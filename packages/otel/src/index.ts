/**
 * OpenTelemetry for Evenkeel. The bridge itself comes with a later release; this one only holds the package's place.
 */
export const packageName = "@evenkeel/otel"
