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

/** An error in OpenAI's shape, which Azure's newer APIs have too. */
const openai = (
  status: number,
  type: string,
  code: string | null,
  message: string,
  param: string | null = null
): ErrorResponse => json(status, { message, type, param, code })

/** An error in the shape of Azure itself, whose code is often the status again. */
const azure = (status: number, message: string, code = String(status)): ErrorResponse => json(status, { code, message })

/**
 * A refusal for the caller's own mistake.
 */
export const invalidRequest = (message: string, param: string | null, code: string | null = null): ErrorResponse =>
  openai(400, "invalid_request_error", code, message, param)

/**
 * A thing that is not there.
 */
export const notFound = (message: string, param: string | null = null, code: string | null = null): ErrorResponse =>
  openai(404, "invalid_request_error", code, message, param)

const rateLimit = (type: string, per: string) => ({ model, retryAfterSeconds }: ErrorContext): ErrorResponse =>
  openai(
    429,
    type,
    "rate_limit_exceeded",
    `Rate limit reached for ${model} in organization org-simulated on ${per}. Please try again in ${retryAfterSeconds}s.`
  )

const spendingLimit = (code: string, message: string): ErrorResponse => openai(429, "insufficient_quota", code, message)

const page = (status: number, title: string, server = ""): ErrorResponse => ({
  status,
  body: `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n` +
    `${server}</body>\r\n</html>\r\n`,
  contentType: "text/html"
})

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

/**
 * An encrypted reasoning item that another resource made.
 */
export const invalidEncryptedContent: ErrorResponse = invalidRequest(
  "The encrypted content for the reasoning item could not be verified.",
  "input",
  "invalid_encrypted_content"
)

/**
 * Every documented error body by name. A fault may ask for any of them.
 */
export const bodies = {
  // 429, by whom and for what
  "azure-classic-429": ({ apiVersion, operation, retryAfterSeconds }) =>
    azure(
      429,
      `Requests to the ${operation} Operation under Azure OpenAI API version ${apiVersion} ` +
        "have exceeded token rate limit of your current OpenAI S0 pricing tier. " +
        `Please retry after ${retryAfterSeconds} seconds. ` +
        "Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
    ),
  "azure-newer-429": ({ apiVersion, deployment, model, operation, region, retryAfterSeconds }) =>
    azure(
      429,
      `Your requests to ${deployment} for ${model} in ${region} have exceeded the token rate limit for your current ` +
        `AIServices S0 pricing tier. This request was for ${operation} under Azure OpenAI API version ${apiVersion}. ` +
        `Please retry after ${retryAfterSeconds} seconds.`
    ),
  "azure-v1-429": json(429, {
    type: "too_many_requests",
    code: "rate_limit_exceeded",
    message: "Your requests to the deployment have exceeded rate limit.",
    param: null,
    headers: { "x-ms-fe-error": "true" }
  }),
  "azure-capacity-429": ({ retryAfterSeconds }) =>
    azure(
      429,
      "The system is currently experiencing high demand and cannot process your request. Your request exceeds the " +
        `maximum usage size allowed during peak load. Please retry after ${retryAfterSeconds} seconds.`
    ),
  "azure-unable-429": azure(429, "The service is temporarily unable to process your request. Please try again."),
  "azure-free-429": azure(429, "Rate limit is exceeded. Try again in 86400 seconds. Please retry after 86400 seconds."),
  "openai-tokens-429": rateLimit("tokens", "tokens per min (TPM)"),
  "openai-requests-429": rateLimit("requests", "requests per min (RPM)"),
  "openai-slow-down-429": openai(
    429,
    "rate_limit_error",
    "slow_down",
    "Your traffic rose too fast. Slow down, then ramp up gradually."
  ),
  // 429 that is the request's own
  "openai-too-large-429": ({ model }) => requestTooLarge(model, 30_000, 50_000),
  "flex-unavailable-429": openai(
    429,
    "invalid_request_error",
    "resource_unavailable",
    "Flex processing is temporarily out of capacity for this model. Please try again later, or use the default " +
      "service tier.",
    "service_tier"
  ),
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
  "bad-request": invalidRequest("The request is invalid.", null),
  "content-filter": contentFilter,
  "image-content-filter": json(400, {
    message: "Your request was rejected as a result of our safety system.",
    type: "invalid_request_error",
    param: null,
    code: "content_policy_violation",
    inner_error: {
      code: "ResponsibleAIPolicyViolation",
      content_filter_results: { ...safeResults, violence: { filtered: true, severity: "medium" } }
    }
  }),
  "context-length": ({ model }) => contextLength(model, 128_000, 200_000),
  "invalid-encrypted-content": invalidEncryptedContent,
  "flex-unsupported": invalidRequest(
    "Invalid service_tier argument: this model does not support 'flex'.",
    "service_tier"
  ),
  "unsupported-api-version": azure(400, "API version not supported", "BadRequest"),
  "azure-wrong-key": azure(
    401,
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an " +
      "active subscription and use a correct regional API endpoint for your resource."
  ),
  "azure-wrong-token": azure(401, "Access token is missing, invalid, audience is incorrect, or have expired."),
  "azure-permission-denied": azure(401, "Principal does not have access to API/Operation.", "PermissionDenied"),
  "openai-wrong-key": openai(
    401,
    "invalid_request_error",
    "invalid_api_key",
    "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
  ),
  "azure-network-403": azure(403, "Access denied due to Virtual Network/Firewall rules."),
  "azure-blocked-403": azure(
    403,
    "Your resource has been temporarily blocked because we detected behavior that may violate our content policy."
  ),
  // what a firewall before the service says, as a page or as JSON, of a prompt that looks like an attack
  "firewall-html-403": page(403, "403 Forbidden", "<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n"),
  "firewall-json-403": {
    status: 403,
    body: JSON.stringify({ message: "Request blocked by the firewall policy.", rule: "942100" })
  },
  "deployment-not-found": azure(
    404,
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, " +
      "please wait a moment and try again.",
    "DeploymentNotFound"
  ),
  "not-found": azure(404, "Resource not found"),
  "openai-model-not-found": ({ deployment }) =>
    notFound(`The model \`${deployment}\` does not exist or you do not have access to it.`, null, "model_not_found"),
  "method-not-allowed": azure(405, "Method Not Allowed"),
  "azure-timeout-408": azure(408, "The operation was timeout.", "Timeout"),
  "conflict-409": azure(409, "The request conflicts with another one."),
  "too-many-headers": azure(431, "The number of custom headers exceeds the maximum of 10."),
  // 5xx
  "server-error": openai(
    500,
    "server_error",
    null,
    "The server had an error processing your request. Sorry about that! You can retry your request, or contact us if " +
      "you keep seeing this error. (Please include the request ID in your email.)"
  ),
  "azure-internal-500": azure(500, "Internal server error. Please retry.", "InternalServerError"),
  "overloaded": openai(
    503,
    "service_unavailable_error",
    "server_is_overloaded",
    "The server is currently overloaded. Please try again later."
  ),
  "bad-gateway-html": page(502, "502 Bad Gateway"),
  "no-healthy-upstream": { status: 503, body: "no healthy upstream", contentType: "text/plain" },
  "upstream-timeout": { status: 504, body: "upstream request timeout", contentType: "text/plain" },
  "gateway": {
    status: 500,
    body: JSON.stringify({ statusCode: 500, message: "Internal server error", activityId: "simulated" })
  },
  "empty": { status: 503, body: "", contentType: "text/plain" }
} satisfies Record<string, ErrorResponse | ((context: ErrorContext) => ErrorResponse)>

/**
 * The name of a documented error body.
 */
export type ErrorName = keyof typeof bodies

/**
 * The documented body of `name`.
 */
export const make = (name: ErrorName, context: ErrorContext): ErrorResponse => {
  const body: ErrorResponse | ((context: ErrorContext) => ErrorResponse) = bodies[name]
  return typeof body === "function" ? body(context) : body
}

/** What a status goes with: on Azure, and on OpenAI where that is another. */
const usual: Readonly<Record<number, readonly [azure: ErrorName, openai?: ErrorName]>> = {
  401: ["azure-wrong-key", "openai-wrong-key"],
  403: ["azure-network-403"],
  404: ["deployment-not-found", "openai-model-not-found"],
  405: ["method-not-allowed"],
  408: ["azure-timeout-408"],
  409: ["conflict-409"],
  429: ["azure-classic-429", "openai-tokens-429"],
  431: ["too-many-headers"],
  502: ["bad-gateway-html"],
  503: ["no-healthy-upstream", "overloaded"],
  504: ["upstream-timeout"]
}

/**
 * The body that goes with a status when nothing else was asked for.
 */
export const nameFor = (status: number, isAzure: boolean): ErrorName => {
  const [ofAzure, ofOpenai = ofAzure] = usual[status]
    ?? (status < 500 ? ["bad-request"] : ["azure-internal-500", "server-error"])
  return isAzure ? ofAzure : ofOpenai
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
  openai(
    429,
    "tokens",
    "rate_limit_exceeded",
    `Request too large for ${model} in organization org-simulated on tokens per min (TPM): ` +
      `Limit ${limit}, Requested ${asked}. The input or output tokens must be reduced in order to run successfully.`
  )

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

/**
 * A response to go on from that this resource did not make.
 */
export const unknownResponse = (id: string, isAzure: boolean): ErrorResponse =>
  openai(
    isAzure ? 404 : 400,
    "invalid_request_error",
    "previous_response_not_found",
    `Previous response with id '${id}' not found.`,
    "previous_response_id"
  )

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
export const responsesTooOld: ErrorResponse = azure(
  400,
  "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later",
  "BadRequest"
)
