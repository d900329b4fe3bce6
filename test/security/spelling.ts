/**
 * Ways to spell a header name that some program between here and there may read as the same name: letters' case,
 * `_` for `-` (CGI and WSGI fold both), doubled and trailing hyphens, characters that get trimmed or dropped.
 */
export function spellingsOf(name: string): readonly string[] {
  const words = name.toLowerCase().split('-')
  const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)
  const alternating = [...name].map((letter, index) => (index % 2 === 0 ? letter.toLowerCase() : letter.toUpperCase()))
  return [
    ...new Set([
      words.join('-'),
      words.map(capital).join('-'),
      name.toUpperCase(),
      alternating.join(''),
      words.join('_'),
      words.map(capital).join('_'),
      name.toUpperCase().replaceAll('-', '_'),
      words.join('-_'),
      words.join('--'),
      words.join('.'),
      words.join(''),
      `${words.slice(0, -1).join('-')}_${words.at(-1) ?? ''}`,
      `HTTP_${name.toUpperCase().replaceAll('-', '_')}`,
      `http-${words.join('-')}`,
      `${name}_`,
      `${name}-`,
      `_${name}`,
      `-${name}`,
      `${name}.`,
      `${name}!`,
      `${name}'`,
      `${name}~`,
      `${name}*`,
      `${name}%20`,
    ]),
  ]
}

/**
 * Ways to spell a request target that some program between here and there may read as the same target: escapes once and
 * twice, capitals, empty and dot segments, parameters and endings that get cut off, characters that get folded, and the
 * way there through a path that somebody else may go.
 */
export function targetSpellings(target: string): readonly string[] {
  const [path = '', query] = target.split('?')
  const rest = path.slice('/v2/'.length)
  const first = rest.split('/')[0] ?? ''
  const hex = (character: string): string => `%${character.charCodeAt(0).toString(16)}`
  const paths = [
    path,
    `/v2/${hex(rest.charAt(0))}${rest.slice(1)}`,
    `/v2/${[...rest].map((character) => (/[a-z]/.test(character) ? hex(character) : character)).join('')}`,
    `/v2/%25${hex(rest.charAt(0)).slice(1)}${rest.slice(1)}`,
    `/v2/${rest.replaceAll('/', '%2f')}`,
    `/v2/${rest.replaceAll('/', '%2F')}`,
    `/v2/${rest.replaceAll('/', '%252f')}`,
    `/v2/${rest.replaceAll('/', '%5c')}`,
    `/v2/${rest.replaceAll('/', '\\')}`,
    `/v2/${rest.replaceAll('/', '%c0%af')}`,
    `/v2/${rest.replaceAll('/', '//')}`,
    `/v2/${rest.replaceAll('/', '/./')}`,
    `/v2/${first.toUpperCase()}${rest.slice(first.length)}`,
    `/v2/${rest.toUpperCase()}`,
    `/v2/${rest.replaceAll('a', '%ef%bd%81')}`,
    `/v2/${rest.replaceAll('-', '_')}`,
    `/v2/${rest}_`,
    `/v2/_${rest}`,
    `//v2/${rest}`,
    `/v2//${rest}`,
    `/V2/${rest}`,
    `/%76%32/${rest}`,
    `/./v2/${rest}`,
    `/v2/./${rest}`,
    `/v2/mine/a/../../${rest}`,
    `/v2/mine/a/%2e%2e/%2e%2e/${rest}`,
    `/v2/mine/a/..%2f..%2f${rest}`,
    `/v2/mine/a/.%2e/.%2e/${rest}`,
    `/v2/mine;/../${rest}`,
    `/v2/mine/a/tags/list/../../../../${rest}`,
    `/v2/${first};a=b${rest.slice(first.length)}`,
    `${path};a=b`,
    `${path}%00`,
    `${path}%20`,
    `${path}%3f`,
    `${path}%23`,
    `${path}#`,
    `${path}/`,
    `${path}/.`,
    `${path}/..`,
    `${path}//`,
    `http://localhost${path}`,
    `@localhost${path}`,
  ]
  const spelled = paths.map((spelling) => (query === undefined ? spelling : `${spelling}?${query}`))
  const queries = [
    '?',
    '?n=1',
    '?from=mine/a',
    '?name=mine/a&repository=mine/a',
    '?_method=GET',
    `?x=/v2/mine/a/tags/list`,
  ]
  return [...new Set([...spelled, ...queries.map((added) => `${path}${added}`)])]
}
