package gpu

// Opt is a reading that may be absent; then OK is false and V means nothing.
type Opt[T any] struct {
	V  T    `json:",omitzero"`
	OK bool `json:",omitzero"`
}

func some[T any](v T) Opt[T] { return Opt[T]{v, true} }

// What readings are in.
type (
	// Percent is a share of time, 0 to 100.
	Percent float64
	// Ratio is a share, 0 to 1.
	Ratio float64
	// Celsius is a temperature.
	Celsius float64
	// Milliwatts are an electric power.
	Milliwatts uint64
	// Millijoules are an energy.
	Millijoules uint64
	// Megahertz are the rate of a clock.
	Megahertz uint64
	// Nanoseconds are an amount of time.
	Nanoseconds uint64
	// BytesPerSecond is a rate over the time since the snapshot before.
	BytesPerSecond float64
)

// Snapshot is what one look at all GPUs of the node gave.
type Snapshot struct {
	Driver  string // its version, such as "550.54.15"; empty if it does not say
	Devices []Device
}

// Device is one GPU. What it is called is always there; each reading only where
// driver and device give it.
type Device struct {
	Index int    // as nvidia-smi counts, from 0
	UUID  string // "GPU-…"
	Name  string // of the model
	BusID string // PCI address, such as "00000000:07:00.0"

	Lost bool // fell off the bus; all readings are absent then

	Busy        Opt[Percent] // some kernel ran
	MemoryBusy  Opt[Percent] // memory was read or written
	EncoderBusy Opt[Percent]
	DecoderBusy Opt[Percent]

	Temperature       Opt[Celsius]
	MemoryTemperature Opt[Celsius]
	Power             Opt[Milliwatts]
	Energy            Opt[Millijoules] // since the driver was loaded
	SMClock           Opt[Megahertz]
	MemoryClock       Opt[Megahertz]
	PowerViolation    Opt[Nanoseconds] // time slowed down to stay within the power limit
	ThermalViolation  Opt[Nanoseconds] // time slowed down to stay cool
	PCIeReplays       Opt[uint64]
	ECC               ECC
	Rows              Opt[RemappedRows]
	XIDs              XIDs

	Part
	MIG       bool // split into Instances, which then have the memory
	Instances []Instance

	Processes []Process
	Refused   uint64 // readings that could not be true, in this snapshot
}

// Part is what a whole GPU and an instance of it have alike.
type Part struct {
	Memory  Opt[Memory]
	Profile Profile
}

// Instance is a part of a GPU that MIG made a GPU of its own.
type Instance struct {
	ID   uint32 // of the GPU instance, unique within the device
	Name string // of its profile, such as "1g.5gb"
	Part
}

// Memory is the device's own, in bytes.
type Memory struct {
	Used, Free, Total uint64
	Reserved          Opt[uint64] // for the driver; older drivers count it as used
}

// ECC are errors in memory, corrected (single bit) and not (double bit), since
// the driver was loaded (volatile) and ever (aggregate).
type ECC struct {
	SingleVolatile, DoubleVolatile, SingleAggregate, DoubleAggregate Opt[uint64]
}

// RemappedRows are rows of memory that spare ones replaced.
type RemappedRows struct {
	Correctable, Uncorrectable uint64
	Failed                     bool // no spare row was left for one
}

// Profile is what the performance monitors (GPM, from Hopper on) saw since the
// snapshot before.
type Profile struct {
	Engine, SM, Occupancy, Tensor, DRAM, FP64, FP32, FP16 Opt[Ratio]
	PCIeSent, PCIeReceived                                Opt[BytesPerSecond]
}

// Process is a process that uses a device.
type Process struct {
	PID      uint32      // in the PID namespace that the driver sees, the node's
	Instance Opt[uint32] // ID of the GPU instance, where there are any
	Memory   Opt[uint64] // bytes
	SM       Opt[Ratio]  // share of time it had the multiprocessors, mean since the snapshot before
}

// XIDs are the errors that the driver reported on a device, by NVIDIA's code.
type XIDs struct {
	Watched bool   // the driver is able to report
	Last    uint64 // code of the last; 0 if there was none
	Counts  []XIDCount
}

// XIDCount is how often a code came since the helper was made. The counts
// survive restarts of the child.
type XIDCount struct{ Code, Count uint64 }
