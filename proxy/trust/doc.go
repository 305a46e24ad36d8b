// Package trust decides whether an image may be shown, by upstream's signatures, and signs what is made here. Verdicts are
// recorded with the images that they are on, so that hot tags cost no question; what is signed lies in the store like any
// content. The rooms below know the formats: keys, simplesigning, bundle, keyless; verify searches, sign writes.
package trust
