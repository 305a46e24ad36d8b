// Package complaints holds tests only: one for each of the complaints that made people distrust pull-through registries,
// named by the project and the number under which it was filed, and one for each way in which an upstream can fail. Each
// runs a whole proxy in front of distribution's registry, with something between them that breaks what the test says.
package complaints
