import { errorTable } from '../registry/error.ts'

/** The values of `WWW-Authenticate`: one for a request without a login, one for a login that failed. */
export type Challenges = {
  readonly missing: string
  readonly invalid: string
}

const basic = 'Basic realm="Wharfgate", charset="UTF-8"'

/**
 * The challenge of HTTP Basic (RFC 7617), always exactly one in a response: where a Basic and a Bearer challenge stand
 * side by side, Docker takes Basic and anonymous pulls fail.
 *
 * After a failed login it has one parameter more, `error_description`, which some clients show. RFC 9110 section 11.2 has
 * clients ignore parameters they do not know, and the parsers of the registry clients do, as their sources say:
 * distribution `registry/client/auth/challenge` (in moby and go-containerregistry) and containers/image
 * `docker/wwwauthenticate.go` (podman, buildah, skopeo) collect every parameter into a map; containerd
 * `core/remotes/docker/auth/parse.go` does too and looks at `error` for Bearer only; oras-go `registry/remote/auth`
 * (oras, helm) stops reading after the word Basic. Older code splits at every comma and unquotes as Go does, so the text
 * has neither comma nor backslash. It is fixed: nothing that a client sent is in it.
 */
export const basicChallenges: Challenges = {
  missing: basic,
  invalid: `${basic}, error_description="${errorTable.credentialsInvalid.sentence}"`,
}
