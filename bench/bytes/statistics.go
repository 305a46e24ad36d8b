package main

import (
	"math"
	"slices"
)

// median gives the median and the median absolute deviation; zeros of nothing.
func median(data []float64) (mid, deviation float64) {
	mid = middle(data)
	apart := make([]float64, len(data))
	for i, x := range data {
		apart[i] = math.Abs(x - mid)
	}
	return mid, middle(apart)
}

func middle(data []float64) float64 {
	n := len(data)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(data))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// spread gives the mean and the standard deviation of a population; zeros of nothing.
func spread(data []float64) (mean, deviation float64) {
	if len(data) == 0 {
		return 0, 0
	}
	for _, x := range data {
		mean += x / float64(len(data))
	}
	for _, x := range data {
		deviation += (x - mean) * (x - mean) / float64(len(data))
	}
	return mean, math.Sqrt(deviation)
}
