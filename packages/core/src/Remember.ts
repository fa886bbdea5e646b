/**
 * Maps that are bounded: the longest unused is forgotten first.
 */

/** Sets a key, as the last that was used, in a map that is to keep so many. */
export const remember = <K, V>(map: Map<K, V>, key: K, value: V, most: number): void => {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value!)
}
