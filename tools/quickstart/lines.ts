/** What the quickstart prints once everything answers: lines to copy, each of which works as it stands. */
export type QuickstartFacts = {
  /** `localhost:8443`, as clients write it before a repository. */
  readonly host: string
  readonly registry: string
  readonly username: string
  readonly password: string
  /** Paths as the reader's shell understands them. */
  readonly passwordFile: string
  readonly caFile: string
  readonly configFile: string
  /** Bold and dim text for a terminal that shows them. */
  readonly emphasize: (text: string) => string
}

export function quickstartLines(facts: QuickstartFacts): string {
  const { host, caFile, emphasize, username } = facts
  const image = `${host}/demo/hello:1`
  const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`)
  return `
${emphasize(`Wharfgate is ready: https://${host}`)}
  in front of ${facts.registry}
  user ${username}, password ${facts.password}

${emphasize('Trust its certificate')} (Docker trusts localhost without; podman, buildah and skopeo need this once)
  mkdir -p ~/.config/containers/certs.d/${host} && cp ${quoted(caFile)} ~/.config/containers/certs.d/${host}/ca.crt

${emphasize('Log in')}
  docker login ${host} --username ${username} --password-stdin < ${quoted(facts.passwordFile)}

${emphasize('Push and pull')}
  printf 'FROM scratch\\nCOPY hello.txt /\\n' > hello.dockerfile && echo hello > hello.txt
  docker build --tag ${image} --file hello.dockerfile .
  docker push ${image}
  docker pull ${image}

${emphasize('Ask it yourself')}
  curl --cacert ${quoted(caFile)} --user ${username}:${facts.password} https://${host}/v2/_catalog

podman takes the same lines. The configuration is ${facts.configFile}; Ctrl-C ends everything, the data stays.
`
}
