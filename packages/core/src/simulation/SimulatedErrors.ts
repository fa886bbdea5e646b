/**
 * The error bodies that Azure OpenAI and OpenAI are known to send.
 */

/**
 * An error as it goes over the wire.
 */
export interface ErrorResponse {
  readonly status: number
  /** Text of the body, JSON unless the content type says otherwise. */
  readonly body: string
  readonly contentType?: string | undefined
}

/**
 * What an error body may mention.
 */
export interface ErrorContext {
  readonly deployment: string
  readonly model: string
  readonly region: string
  readonly apiVersion: string
  readonly operation: string
  readonly retryAfterSeconds: number
}

const json = (status: number, error: Record<string, unknown>): ErrorResponse => ({
  status,
  body: JSON.stringify({ error })
})

/**
 * A refusal for the caller's own mistake.
 */
export const invalidRequest = (message: string, param: string | null, code: string | null = null): ErrorResponse =>
  json(400, { message, type: "invalid_request_error", param, code })

/**
 * A thing that is not there.
 */
export const notFound = (message: string, param: string | null = null, code: string | null = null): ErrorResponse =>
  json(404, { message, type: "invalid_request_error", param, code })

const openaiLimit = (type: string, per: string) => (context: ErrorContext): ErrorResponse =>
  json(429, {
    message: `Rate limit reached for ${context.model} in organization org-simulated on ${per}. ` +
      `Please try again in ${context.retryAfterSeconds}s.`,
    type,
    param: null,
    code: "rate_limit_exceeded"
  })

const spendingLimit = (code: string, message: string) => (): ErrorResponse =>
  json(429, { message, type: "insufficient_quota", param: null, code })

const highDemand = "The system is currently experiencing high demand and cannot process your request. " +
  "Your request exceeds the maximum usage size allowed during peak load."

/**
 * Every documented error body by name. A fault may ask for any of them.
 */
export const bodies = {
  // 429, by whom and for what
  "azure-classic-429": (context) =>
    json(429, {
      code: "429",
      message: `Requests to the ${context.operation} Operation under Azure OpenAI API version ${context.apiVersion} ` +
        "have exceeded token rate limit of your current OpenAI S0 pricing tier. " +
        `Please retry after ${context.retryAfterSeconds} seconds. ` +
        "Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
    }),
  "azure-newer-429": (context) =>
    json(429, {
      code: "429",
      message: `Your requests to ${context.deployment} for ${context.model} in ${context.region} have exceeded the ` +
        `token rate limit for your current AIServices S0 pricing tier. This request was for ${context.operation} ` +
        `under Azure OpenAI API version ${context.apiVersion}. ` +
        `Please retry after ${context.retryAfterSeconds} seconds.`
    }),
  "azure-v1-429": () =>
    json(429, {
      type: "too_many_requests",
      code: "rate_limit_exceeded",
      message: "Your requests to the deployment have exceeded rate limit.",
      param: null,
      headers: { "x-ms-fe-error": "true" }
    }),
  "azure-capacity-429": (context) =>
    json(429, { code: "429", message: `${highDemand} Please retry after ${context.retryAfterSeconds} seconds.` }),
  "azure-unable-429": () =>
    json(429, { code: "429", message: "The service is temporarily unable to process your request. Please try again." }),
  "azure-free-429": () =>
    json(429, {
      code: "429",
      message: "Rate limit is exceeded. Try again in 86400 seconds. Please retry after 86400 seconds."
    }),
  "openai-tokens-429": openaiLimit("tokens", "tokens per min (TPM)"),
  "openai-requests-429": openaiLimit("requests", "requests per min (RPM)"),
  "openai-slow-down-429": () =>
    json(429, {
      message: "Your traffic rose too fast. Slow down, then ramp up gradually.",
      type: "rate_limit_error",
      param: null,
      code: "slow_down"
    }),
  // 429 that is the request's own
  "openai-too-large-429": (context) => requestTooLarge(context.model, 30_000, 50_000),
  "flex-unavailable-429": () =>
    json(429, {
      message: "Flex processing is temporarily out of capacity for this model. Please try again later, or use the " +
        "default service tier.",
      type: "invalid_request_error",
      param: "service_tier",
      code: "resource_unavailable"
    }),
  // 429 that waiting does not cure
  "insufficient-quota": spendingLimit(
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details."
  ),
  "credit-balance-exhausted": spendingLimit("credit_balance_exhausted", "Your credit balance is exhausted."),
  "organization-spend-limit": spendingLimit(
    "organization_spend_limit_exceeded",
    "Your organization has reached its spend limit."
  ),
  "project-spend-limit": spendingLimit("project_spend_limit_exceeded", "Your project has reached its spend limit."),
  "organization-usage-limit": spendingLimit(
    "organization_usage_limit_exceeded",
    "Your organization has reached its usage limit."
  ),
  "billing-hard-limit": spendingLimit("billing_hard_limit_reached", "Billing hard limit has been reached."),
  "billing-not-active": spendingLimit("billing_not_active", "Your account is not active, please check your billing."),
  // 4xx
  "bad-request": () => invalidRequest("The request is invalid.", null),
  "content-filter": () => contentFilter,
  "image-content-filter": () => imageContentFilter,
  "context-length": (context) => contextLength(context.model, 128_000, 200_000),
  "invalid-encrypted-content": () => invalidEncryptedContent,
  "flex-unsupported": () =>
    invalidRequest("Invalid service_tier argument: this model does not support 'flex'.", "service_tier"),
  "unsupported-api-version": () => json(400, { code: "BadRequest", message: "API version not supported" }),
  "azure-wrong-key": () =>
    json(401, {
      code: "401",
      message:
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key " +
        "for an active subscription and use a correct regional API endpoint for your resource."
    }),
  "azure-wrong-token": () =>
    json(401, {
      code: "401",
      message: "Access token is missing, invalid, audience is incorrect, or have expired."
    }),
  "azure-permission-denied": () =>
    json(401, { code: "PermissionDenied", message: "Principal does not have access to API/Operation." }),
  "openai-wrong-key": () =>
    json(401, {
      message: "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
      type: "invalid_request_error",
      param: null,
      code: "invalid_api_key"
    }),
  "azure-network-403": () =>
    json(403, { code: "403", message: "Access denied due to Virtual Network/Firewall rules." }),
  "azure-blocked-403": () =>
    json(403, {
      code: "403",
      message: "Your resource has been temporarily blocked because we detected behavior that " +
        "may violate our content policy."
    }),
  // what a firewall before the service says, as a page or as JSON, of a prompt that looks like an attack
  "firewall-html-403": () => ({
    status: 403,
    body: "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>" +
      "\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n",
    contentType: "text/html"
  }),
  "firewall-json-403": () => ({
    status: 403,
    body: JSON.stringify({ message: "Request blocked by the firewall policy.", rule: "942100" })
  }),
  "deployment-not-found": () =>
    json(404, {
      code: "DeploymentNotFound",
      message: "The API deployment for this resource does not exist. If you created the deployment within the last 5 " +
        "minutes, please wait a moment and try again."
    }),
  "not-found": () => json(404, { code: "404", message: "Resource not found" }),
  "openai-model-not-found": (context) =>
    notFound(
      `The model \`${context.deployment}\` does not exist or you do not have access to it.`,
      null,
      "model_not_found"
    ),
  "method-not-allowed": () => json(405, { code: "405", message: "Method Not Allowed" }),
  "azure-timeout-408": () => json(408, { code: "Timeout", message: "The operation was timeout." }),
  "conflict-409": () => json(409, { code: "409", message: "The request conflicts with another one." }),
  "too-many-headers": () =>
    json(431, { code: "431", message: "The number of custom headers exceeds the maximum of 10." }),
  // 5xx
  "server-error": () =>
    json(500, {
      message: "The server had an error processing your request. Sorry about that! You can retry your request, or " +
        "contact us if you keep seeing this error. (Please include the request ID in your email.)",
      type: "server_error",
      param: null,
      code: null
    }),
  "azure-internal-500": () =>
    json(500, { code: "InternalServerError", message: "Internal server error. Please retry." }),
  "overloaded": () =>
    json(503, {
      message: "The server is currently overloaded. Please try again later.",
      type: "service_unavailable_error",
      param: null,
      code: "server_is_overloaded"
    }),
  "bad-gateway-html": () => ({
    status: 502,
    body:
      "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>" +
      "\r\n</body>\r\n</html>\r\n",
    contentType: "text/html"
  }),
  "no-healthy-upstream": () => ({ status: 503, body: "no healthy upstream", contentType: "text/plain" }),
  "upstream-timeout": () => ({ status: 504, body: "upstream request timeout", contentType: "text/plain" }),
  "gateway": () => ({
    status: 500,
    body: JSON.stringify({ statusCode: 500, message: "Internal server error", activityId: "simulated" })
  }),
  "empty": () => ({ status: 503, body: "", contentType: "text/plain" })
} satisfies Record<string, (context: ErrorContext) => ErrorResponse>

/**
 * The name of a documented error body.
 */
export type ErrorName = keyof typeof bodies

/**
 * The documented body of `name`.
 */
export const make = (name: ErrorName, context: ErrorContext): ErrorResponse =>
  (bodies[name] as (context: ErrorContext) => ErrorResponse)(context)

/**
 * The body that goes with a status when nothing else was asked for.
 */
export const nameFor = (status: number, azure: boolean): ErrorName => {
  switch (status) {
    case 401:
      return azure ? "azure-wrong-key" : "openai-wrong-key"
    case 403:
      return "azure-network-403"
    case 404:
      return azure ? "deployment-not-found" : "openai-model-not-found"
    case 405:
      return "method-not-allowed"
    case 408:
      return "azure-timeout-408"
    case 409:
      return "conflict-409"
    case 429:
      return azure ? "azure-classic-429" : "openai-tokens-429"
    case 431:
      return "too-many-headers"
    case 502:
      return "bad-gateway-html"
    case 503:
      return azure ? "no-healthy-upstream" : "overloaded"
    case 504:
      return "upstream-timeout"
    default:
      return status < 500 ? "bad-request" : azure ? "azure-internal-500" : "server-error"
  }
}

/**
 * The prompt is longer than the model's context.
 */
export const contextLength = (model: string, limit: number, asked: number): ErrorResponse =>
  invalidRequest(
    `This model's maximum context length is ${limit} tokens. However, your messages resulted in ${asked} tokens ` +
      `(${model}). Please reduce the length of the messages.`,
    "messages",
    "context_length_exceeded"
  )

/**
 * A request that is larger than what a minute holds: no waiting mends it.
 */
export const requestTooLarge = (model: string, limit: number, asked: number): ErrorResponse =>
  json(429, {
    message: `Request too large for ${model} in organization org-simulated on tokens per min (TPM): ` +
      `Limit ${limit}, Requested ${asked}. The input or output tokens must be reduced in order to run successfully.`,
    type: "tokens",
    param: null,
    code: "rate_limit_exceeded"
  })

/**
 * A text of a parameter that is longer than it may be.
 */
export const stringTooLong = (param: string, most: number, length: number): ErrorResponse =>
  invalidRequest(
    `Invalid '${param}': string too long. Expected a string with maximum length ${most}, but got a string with ` +
      `length ${length} instead.`,
    param,
    "string_above_max_length"
  )

const harmless = { filtered: false, severity: "safe" }

/**
 * What Azure's content filter says of harmless text.
 */
export const safeResults = { hate: harmless, self_harm: harmless, sexual: harmless, violence: harmless }

/**
 * The prompt was blocked by Azure's content filter.
 */
export const contentFilter: ErrorResponse = json(400, {
  message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. " +
    "Please modify your prompt and retry. To learn more about our content filtering policies please read our " +
    "documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
  type: null,
  param: "prompt",
  code: "content_filter",
  status: 400,
  innererror: {
    code: "ResponsibleAIPolicyViolation",
    content_filter_result: { ...safeResults, jailbreak: { detected: true, filtered: true } }
  }
})

const imageContentFilter: ErrorResponse = json(400, {
  message: "Your request was rejected as a result of our safety system.",
  type: "invalid_request_error",
  param: null,
  code: "content_policy_violation",
  inner_error: {
    code: "ResponsibleAIPolicyViolation",
    content_filter_results: { ...safeResults, violence: { filtered: true, severity: "medium" } }
  }
})

/**
 * An encrypted reasoning item that another resource made.
 */
export const invalidEncryptedContent: ErrorResponse = invalidRequest(
  "The encrypted content for the reasoning item could not be verified.",
  "input",
  "invalid_encrypted_content"
)

/**
 * A response to go on from that this resource did not make.
 */
export const unknownResponse = (id: string, azure: boolean): ErrorResponse =>
  json(azure ? 404 : 400, {
    message: `Previous response with id '${id}' not found.`,
    type: "invalid_request_error",
    param: "previous_response_id",
    code: "previous_response_not_found"
  })

/**
 * An operation that the model does not have.
 */
export const wrongOperation = (operation: string, model: string): ErrorResponse =>
  invalidRequest(
    `The ${operation} operation does not work with the specified model, ${model}. ` +
      "Please choose different model and try again.",
    null,
    "OperationNotSupported"
  )

/**
 * A dated API that does not have responses yet.
 */
export const responsesTooOld: ErrorResponse = json(400, {
  code: "BadRequest",
  message: "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later"
})
