// Package demo is a tour of the proxy that needs nothing but itself.
package demo
