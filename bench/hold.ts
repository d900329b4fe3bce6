/** @throws Error with `otherwise` when a promise did not hold */
export function hold(held: boolean, otherwise: string): void {
  if (!held) throw new Error(otherwise)
}
