// Command bench measures the exchange against an empty fasthttp handler in one
// run: the same client, machine and connections, rounds interleaved, so that what
// counts is the ratio. It starts both servers itself, on loopback and in a
// temporary directory, and stops them. What it measures is the binary that
// operators run; fill alone, which makes data directories to start on, imports
// the project's own packages.
package main
