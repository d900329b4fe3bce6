/**
 * Whether a text is the given pieces in their order with any runs of characters between them: `a*b` is the pieces `a` and
 * `b`. Never goes back: the leftmost place of a piece is as good as any other.
 *
 * @param pieces what stood between the asterisks; one piece alone is the text itself
 */
export function matchesPieces(pieces: readonly string[], text: string): boolean {
  const first = pieces[0] ?? ''
  if (pieces.length < 2) return text === first
  const last = pieces.at(-1) ?? ''
  const end = text.length - last.length
  if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false
  let from = first.length
  for (let index = 1; index < pieces.length - 1; index += 1) {
    const piece = pieces[index] ?? ''
    const at = text.indexOf(piece, from)
    if (at === -1 || at + piece.length > end) return false
    from = at + piece.length
  }
  return true
}
