/**
 * Least squares: how much of a change each of two causes brings, of which the past fades.
 */

/** What a unit of `x` and one of `z` bring, the standard errors of both, and the usual error of a sample. */
export interface Fit {
  readonly x: number
  readonly z: number
  readonly errorOfX: number
  readonly errorOfZ: number
  readonly error: number
}

/**
 * Samples: `x` and `z` came together with a change of `y`.
 */
export class LeastSquares {
  private readonly keep: number
  private readonly hasConstant: boolean
  private readonly sample = Float64Array.of(1, 0, 0, 0)
  /** Sums of the products of 1, x, z and y with each other. */
  private readonly sums = new Float64Array(16)

  /**
   * @param memory samples over which the past fades
   * @param hasConstant whether there is a change besides that is always the same
   */
  constructor(memory: number, hasConstant: boolean) {
    this.keep = 1 - 1 / memory
    this.hasConstant = hasConstant
  }

  add(x: number, z: number, y: number): void {
    const { keep, sample, sums } = this
    sample[1] = x
    sample[2] = z
    sample[3] = y
    for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! * keep + sample[i >> 2]! * sample[i & 3]!
  }

  /** How many there were, of which the past counts for less. */
  get samples(): number {
    return this.sums[0]!
  }

  /** How large `x` usually is; `NaN` before the first. */
  get usualX(): number {
    return Math.sqrt(this.sums[5]! / this.samples)
  }

  get fit(): Fit {
    const { hasConstant, samples, sums } = this
    const of = (a: number, b: number) => sums[4 * a + b]! - (hasConstant ? sums[a]! * sums[b]! / samples : 0)
    const [xx, xz, zz] = [of(1, 1), of(1, 2), of(2, 2)]
    const [xy, zy, yy] = [of(1, 3), of(2, 3), of(3, 3)]
    // what does not vary tells nothing
    const isAlone = zz === 0
    const own = isAlone ? xx : xx - xz * xz / zz
    const x = (isAlone ? xy : xy - zy * xz / zz) / own
    const z = isAlone ? 0 : (zy - x * xz) / zz
    const error = Math.sqrt(Math.max(0, yy - x * xy - z * zy) / samples)
    return { x, z, errorOfX: error / Math.sqrt(own), errorOfZ: error * Math.sqrt(xx / own / zz), error }
  }
}
