import fc from 'fast-check'

/** Characters of latin1, each a byte; what parsers tend to trip over comes often. */
const byte = fc.oneof(
  fc.nat({ max: 255 }).map((code) => String.fromCharCode(code)),
  fc.constantFrom(
    '\0',
    '\t',
    '\n',
    '\r',
    ' ',
    '"',
    "'",
    '%',
    '/',
    '\\',
    ':',
    ';',
    '=',
    '&',
    '?',
    '#',
    '.',
    '\x7f',
    '\xff',
  ),
)

/**
 * Bytes, as latin1: something of a corpus, or two of it joined, with a few bytes changed, added, left out or repeated,
 * or words of a dictionary put in; now and then bytes without any form.
 */
export function mutatedBytes(corpus: readonly string[], dictionary: readonly string[]): fc.Arbitrary<string> {
  const seed = fc.constantFrom(...corpus)
  const joined = fc.tuple(seed, seed, fc.nat(), fc.nat()).map(([one, other, cut, from]) => {
    return one.slice(0, cut % (one.length + 1)) + other.slice(from % (other.length + 1))
  })
  const changes = fc.array(fc.oneof(...mutations(dictionary)), { maxLength: 6, size: 'max' })
  const changed = fc
    .tuple(fc.oneof({ weight: 3, arbitrary: seed }, { weight: 1, arbitrary: joined }), changes)
    .map(([text, all]) => all.reduce((bytes, change) => change(bytes), text))
  const formless = fc.array(byte, { maxLength: 64 }).map((bytes) => bytes.join(''))
  return fc.oneof({ weight: 12, arbitrary: changed }, { weight: 1, arbitrary: formless })
}

type Mutation = (text: string) => string

function mutations(dictionary: readonly string[]): readonly fc.Arbitrary<Mutation>[] {
  const place = fc.noBias(fc.nat({ max: 9_999 }))
  const length = fc.nat({ max: 40 })
  const at = (text: string, where: number): number => Math.floor((where / 10_000) * (text.length + 1))
  const splice = (text: string, index: number, count: number, inserted: string): string =>
    text.slice(0, index) + inserted + text.slice(index + count)
  return [
    fc.tuple(place, byte).map(
      ([where, other]) =>
        (text) =>
          splice(text, at(text, where), 1, other),
    ),
    fc.tuple(place, byte).map(
      ([where, added]) =>
        (text) =>
          splice(text, at(text, where), 0, added),
    ),
    fc.tuple(place, length).map(
      ([where, count]) =>
        (text) =>
          splice(text, at(text, where), count, ''),
    ),
    fc.tuple(place, fc.constantFrom(...dictionary)).map(
      ([where, word]) =>
        (text) =>
          splice(text, at(text, where), 0, word),
    ),
    fc.tuple(place, fc.nat({ max: 7 })).map(([where, bit]) => (text) => {
      const index = at(text, where)
      const flipped = (text.charCodeAt(index) || 0) ^ (1 << bit)
      return splice(text, index, 1, String.fromCharCode(flipped & 0xff))
    }),
    fc.tuple(place, length, fc.constantFrom(2, 8, 64)).map(([where, count, times]) => (text) => {
      const index = at(text, where)
      return text.length > 4_096 ? text : splice(text, index, 0, text.slice(index, index + count).repeat(times))
    }),
  ]
}
