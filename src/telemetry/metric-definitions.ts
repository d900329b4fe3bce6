/** Every metric of the gateway, once: name, type, labels and sentence. The registry and its reference are made from it. */

export type MetricDefinition<Label extends string = string> = {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly Label[]
  /** Upper bounds of a histogram, in seconds. */
  readonly buckets?: readonly number[]
}

function define<const Label extends string = never>(
  type: MetricDefinition['type'],
  name: string,
  help: string,
  labels: readonly Label[] = [],
  buckets?: readonly number[],
): MetricDefinition<Label> {
  return { name, type, help, labels, ...(buckets === undefined ? {} : { buckets }) }
}

const transferBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 300, 900]
const answerBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60]
const loginBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const storeBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05]

export const definitions = {
  requests: define(
    'counter',
    'wharfgate_http_requests_total',
    'Exchanges that ended, by what they were for and how they were answered.',
    ['route', 'method', 'code'],
  ),
  requestDuration: define(
    'histogram',
    'wharfgate_http_request_duration_seconds',
    'Duration of exchanges from the first byte of the request to the last of the response, transfers included.',
    ['route', 'method'],
    transferBuckets,
  ),
  requestsInFlight: define('gauge', 'wharfgate_http_requests_in_flight', 'Exchanges that have begun and not ended.'),
  requestBytes: define('counter', 'wharfgate_http_request_bytes_total', 'Bytes of request bodies sent upstream.', [
    'route',
  ]),
  responseBytes: define('counter', 'wharfgate_http_response_bytes_total', 'Bytes of response bodies sent to clients.', [
    'route',
  ]),
  aborted: define('counter', 'wharfgate_http_aborted_total', 'Exchanges that broke off, by the side that broke them.', [
    'side',
  ]),
  errors: define('counter', 'wharfgate_errors_total', 'Errors answered, by row of the error table.', ['id']),
  upstreamResponse: define(
    'histogram',
    'wharfgate_upstream_response_seconds',
    'Time from the request to the upstream registry until the head of its answer.',
    ['route'],
    answerBuckets,
  ),
  upstreamUp: define(
    'gauge',
    'wharfgate_upstream_up',
    'Whether the last contact with the upstream registry succeeded.',
  ),
  upstreamRefusedGateway: define(
    'counter',
    'wharfgate_upstream_refused_gateway_total',
    'Answers in which the upstream registry refused the gateway itself (401, or 403 without a credential): alarm.',
  ),
  upstreamRetries: define(
    'counter',
    'wharfgate_upstream_retries_total',
    'Requests asked again because the upstream registry had closed an idle connection.',
  ),
  blobsAsked: define(
    'counter',
    'wharfgate_blob_downloads_total',
    'Downloads of blobs by the way they took: the blob lane, or the ordinary one for answers the lane does not understand.',
    ['way'],
  ),
  logins: define(
    'counter',
    'wharfgate_auth_attempts_total',
    'Requests that brought credentials, by the backend that answered and by outcome.',
    ['backend', 'outcome'],
  ),
  loginDuration: define(
    'histogram',
    'wharfgate_auth_backend_duration_seconds',
    'Time until a login was answered, waiting for its turn and the floor of failed logins included.',
    ['backend'],
    loginBuckets,
  ),
  credentialCache: define(
    'counter',
    'wharfgate_auth_cache_requests_total',
    'Questions to the cache of verified logins, by answer.',
    ['result'],
  ),
  hashDuration: define(
    'histogram',
    'wharfgate_password_hash_duration_seconds',
    'Time that hashing one password took, once it had its turn.',
    [],
    loginBuckets,
  ),
  hashWait: define(
    'histogram',
    'wharfgate_password_hash_wait_seconds',
    'Time that one password waited for its turn to be hashed.',
    [],
    loginBuckets,
  ),
  hashesRefused: define(
    'counter',
    'wharfgate_password_hashes_refused_total',
    'Passwords that were not hashed, because the queue was full or their turn did not come in time.',
    ['reason'],
  ),
  htpasswdUsers: define('gauge', 'wharfgate_htpasswd_users', 'Users of the htpasswd file who can log in.'),
  htpasswdUnusableLines: define(
    'gauge',
    'wharfgate_htpasswd_unusable_lines',
    'Lines of the htpasswd file that cannot be used; each disables its user.',
  ),
  decisions: define('counter', 'wharfgate_authz_decisions_total', 'Decisions of the policy.', ['decision']),
  policyGeneration: define(
    'gauge',
    'wharfgate_policy_generation',
    'Which version of the policies is in force, counted from 1 since the start; 0 without a shadow policy.',
    ['policy'],
  ),
  policyRules: define('gauge', 'wharfgate_policy_rules', 'Rules of the policies in force.', ['policy']),
  shadowDecisions: define(
    'counter',
    'wharfgate_policy_shadow_decisions_total',
    'Decisions of the shadow policy, by how they compare with the one that was enforced.',
    ['comparison'],
  ),
  catalogWalks: define(
    'counter',
    'wharfgate_catalog_walks_total',
    'Times that the list of repositories was read from the upstream registry.',
    ['result'],
  ),
  catalogNames: define('gauge', 'wharfgate_catalog_repositories', 'Repositories found by the last such reading.'),
  mountsRemoved: define(
    'counter',
    'wharfgate_mounts_removed_total',
    'Cross-repository mounts that the user may not make and that became ordinary uploads.',
  ),
  ldapUp: define(
    'gauge',
    'wharfgate_ldap_up',
    'Whether each server of the directory answered last; there once it was connected to.',
    ['server'],
  ),
  ldapOperations: define(
    'counter',
    'wharfgate_ldap_operations_total',
    'What was done at the directory, by how it ended.',
    ['operation', 'outcome'],
  ),
  ldapDuration: define(
    'histogram',
    'wharfgate_ldap_operation_duration_seconds',
    'Time that an operation at the directory took.',
    ['operation'],
    loginBuckets,
  ),
  ldapServiceRefused: define(
    'counter',
    'wharfgate_ldap_service_refused_total',
    'Times that the directory refused the service account: alarm.',
  ),
  ldapUserRefused: define(
    'counter',
    'wharfgate_ldap_users_refused_total',
    'Logins that the directory refused, by what it tells operators of the reason.',
    ['reason'],
  ),
  ldapTurnedAway: define(
    'counter',
    'wharfgate_ldap_logins_turned_away_total',
    'Logins that got no turn at the directory.',
    ['reason'],
  ),
  ldapBindsWithheld: define(
    'counter',
    'wharfgate_ldap_binds_withheld_total',
    'Passwords that were not sent to the directory, so that it locks nobody out.',
    ['reason'],
  ),
  ldapStale: define(
    'counter',
    'wharfgate_ldap_stale_logins_total',
    'Logins answered from memory because the directory did not answer.',
  ),
  storeUp: define(
    'gauge',
    'wharfgate_store_up',
    'Whether Redis answers; 0 is an alarm. Always 1 where limits are counted in memory.',
  ),
  storeErrors: define('counter', 'wharfgate_store_errors_total', 'Commands that Redis did not answer, by reason.', [
    'fault',
  ]),
  storeDuration: define(
    'histogram',
    'wharfgate_store_command_duration_seconds',
    'Time until Redis answered a command.',
    [],
    storeBuckets,
  ),
  limitDecisions: define(
    'counter',
    'wharfgate_rate_limit_decisions_total',
    'Requests that a bucket was asked about, by its name in the configuration and its answer.',
    ['bucket', 'decision'],
  ),
  limitsUncounted: define(
    'counter',
    'wharfgate_rate_limit_uncounted_total',
    'Requests whose limits could not be counted in Redis, by what rateLimit.onStoreError did with them.',
    ['verdict'],
  ),
  tagLocksUnshared: define(
    'counter',
    'wharfgate_tag_locks_unshared_total',
    'Pushes to protected tags that were locked in this gateway alone, because Redis did not answer or forgot the lock.',
    ['reason'],
  ),
  lockouts: define(
    'counter',
    'wharfgate_lockout_decisions_total',
    'Logins that had to be checked, by whether wrong passwords before them locked them out.',
    ['decision'],
  ),
  handshakeErrors: define('counter', 'wharfgate_tls_handshake_errors_total', 'TLS handshakes that failed.', ['reason']),
  certificateNotAfter: define(
    'gauge',
    'wharfgate_tls_certificate_not_after_timestamp_seconds',
    'When each served certificate ends, in seconds since the epoch.',
    ['name'],
  ),
  x509NotAfter: define(
    'gauge',
    'x509_cert_not_after',
    'The same as wharfgate_tls_certificate_not_after_timestamp_seconds, under the name that existing dashboards read.',
    ['subject_CN', 'filename'],
  ),
  connections: define('gauge', 'wharfgate_connections', 'Open connections of clients.'),
  connectionsRefused: define(
    'counter',
    'wharfgate_connections_refused_total',
    'Connections closed before anything of them was read as TLS or HTTP.',
    ['reason'],
  ),
  auditEvents: define('counter', 'wharfgate_audit_events_total', 'Audit lines written to their destination.'),
  auditUp: define(
    'gauge',
    'wharfgate_audit_up',
    'Whether audit lines reach their destination; 0 is an alarm. Always 1 where the audit is off.',
  ),
  auditFaultRequests: define(
    'counter',
    'wharfgate_audit_fault_requests_total',
    'Requests that came while the audit could not be written, by what audit.onFailure did with them.',
    ['access', 'verdict'],
  ),
  auditDropped: define(
    'counter',
    'wharfgate_audit_dropped_total',
    'Audit lines lost because the destination failed or was too slow: alarm.',
  ),
  reloads: define(
    'counter',
    'wharfgate_config_reloads_total',
    'Reloads of a part of the configuration: by file change, SIGHUP or the admin socket.',
    ['part', 'result'],
  ),
  reloadSuccessful: define(
    'gauge',
    'wharfgate_config_last_reload_successful',
    'Whether the last reload of the part was taken; 0 means that the last good one serves on.',
    ['part'],
  ),
  reloadTimestamp: define(
    'gauge',
    'wharfgate_config_last_reload_success_timestamp_seconds',
    'When the part was last taken, at the start or by a reload, in seconds since the epoch.',
    ['part'],
  ),
  maintenance: define(
    'gauge',
    'wharfgate_maintenance_read_only',
    'Whether pushes and deletes are refused by maintenance.readOnly; watch it, so that it is not forgotten.',
  ),
  build: define('gauge', 'wharfgate_build_info', 'Always 1; the version that runs stands in the labels.', [
    'version',
    'revision',
    'nodejs_version',
  ]),
}
