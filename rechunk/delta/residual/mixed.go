package residual

const (
	flagInputs  = 3
	valueInputs = 4
	flagBits    = 16 // of each context's table, by its logarithm
	valueBits   = 15
)

// mixed is the model of version 2 of the format: the likelihoods of several contexts are mixed as in the PAQ family of
// compressors (Mahoney, "Adaptive weighing of context models for lossless data compression", 2005), in the logistic domain,
// by weights that follow the errors.
type mixed struct {
	addresses
	repeats
	blocks       [8]uint32
	flags        [flagInputs][1 << flagBits]uint32 // for whether a difference is 0
	values       [valueInputs][1 << valueBits]uint32
	flagWeights  [80][flagInputs]int32
	valueWeights [256][valueInputs]int32
	stretch      [4096]int16
	squash       [4096]int16 // of -2048 to 2047
}

func newMixed() *mixed {
	m := &mixed{}
	m.leading()
	m.repeats.start()
	fill(m.blocks[:], even)
	for i := range m.flags {
		fill(m.flags[i][:], even)
	}
	for i := range m.values {
		fill(m.values[i][:], even)
	}
	for i := range m.flagWeights {
		fill(m.flagWeights[i][:], 39321)
	}
	for i := range m.valueWeights {
		fill(m.valueWeights[i][:], 29491)
	}
	next := int32(0)
	for x := int32(-2047); x <= 2047; x++ { // the inverse of squash
		v := squash(x)
		m.squash[x+2048] = int16(min(max(v, 1), 4095))
		for ; next <= v; next++ {
			m.stretch[next] = int16(x)
		}
	}
	for ; next < 4096; next++ {
		m.stretch[next] = 2047
	}
	return m
}

// squash gives 4096 / (1 + e^(-x/256)), by a table with straight lines between.
func squash(x int32) int32 {
	table := [33]int32{
		1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975,
		4022,
		4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
	}
	w := x & 127
	i := x>>7 + 16
	return (table[i]*(128-w) + table[i+1]*w + 64) >> 7
}

// mix is the probability, of 4096, at a dot product of weights and stretched probabilities.
func (m *mixed) mix(dot int32) int32 { return int32(m.squash[min(max(dot, -2047), 2047)+2048]) }
