// Package catalog knows the records of a store: which kinds there are, what each is called, found by and says, what content
// and other records it leads to, and what a damaged one means. docs/formats.md has the fields.
//
// Every kind has one Table in Records, through which the proxy reads and writes, and one entry in Kinds, by which gc finds
// its way without knowing any kind itself. The engine writes its own kinds, and exports their types from package rechunk;
// here they are listed beside the proxy's.
package catalog
