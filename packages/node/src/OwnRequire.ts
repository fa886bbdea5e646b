/* oxlint-disable unicorn/no-empty-file */
/**
 * Nothing: undici, loaded as it is, has a `require` of its own. Where it is bundled, `BundledRequire` is in this place.
 */
