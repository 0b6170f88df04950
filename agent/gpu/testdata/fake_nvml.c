/*
 * A libnvidia-ml.so.1 for tests: two GPUs that answer as the documentation of
 * NVML says, and no more symbols than the tests need. Written against that
 * documentation, not taken from any driver. The tests compile it with
 *
 *   -DWITHOUT_MEMORY_V2  lacks a symbol, as an old driver does
 *   -DHANG_AFTER=n       the nth question for a temperature is never answered
 *   -DGROWING            lists grow between the question for their length and
 *                        the one for their content
 *   -DNO_DRIVER          there is a library but no driver
 */
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

typedef int ret_t;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10 };

struct gpu { unsigned index; };
static struct gpu gpus[2] = {{0}, {1}};
typedef struct gpu *device_t;

static unsigned long long now(void) {
	struct timeval tv;
	gettimeofday(&tv, 0);
	return tv.tv_sec * 1000000ULL + tv.tv_usec;
}

ret_t nvmlInit_v2(void) {
#ifdef NO_DRIVER
	return DRIVER_NOT_LOADED;
#endif
	return SUCCESS;
}
ret_t nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(ret_t r) { return r ? "error" : "success"; }

ret_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
	strncpy(version, "999.1", length);
	return SUCCESS;
}

ret_t nvmlDeviceGetCount_v2(unsigned *count) {
	*count = 2;
	return SUCCESS;
}

ret_t nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
	if (index >= 2)
		return INVALID_ARGUMENT;
	*device = &gpus[index];
	return SUCCESS;
}

ret_t nvmlDeviceGetUUID(device_t d, char *uuid, unsigned length) {
	strncpy(uuid, d->index ? "GPU-fake-1" : "GPU-fake-0", length);
	return SUCCESS;
}

ret_t nvmlDeviceGetName(device_t d, char *name, unsigned length) {
	strncpy(name, "Fake GPU", length);
	return SUCCESS;
}

ret_t nvmlDeviceGetTemperature(device_t d, int sensor, unsigned *celsius) {
#ifdef HANG_AFTER
	static int asked;
	if (++asked >= HANG_AFTER)
		for (;;)
			pause();
#endif
	*celsius = 40 + d->index;
	return SUCCESS;
}

ret_t nvmlDeviceGetPowerUsage(device_t d, unsigned *milliwatts) {
	*milliwatts = d->index ? 0xffffffff : 250500; /* the second has no sensor and says so */
	return SUCCESS;
}

ret_t nvmlDeviceGetTotalEnergyConsumption(device_t d, unsigned long long *millijoules) { return NOT_SUPPORTED; }

struct utilization { unsigned gpu, memory; };
ret_t nvmlDeviceGetUtilizationRates(device_t d, struct utilization *u) {
	u->gpu = 70 + d->index;
	u->memory = 30;
	return SUCCESS;
}

struct memory { unsigned long long total, free, used; };
ret_t nvmlDeviceGetMemoryInfo(device_t d, struct memory *m) {
	m->total = 16ULL << 30;
	m->used = 3ULL << 30; /* with what is reserved */
	m->free = m->total - m->used;
	return SUCCESS;
}

#ifndef WITHOUT_MEMORY_V2
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
ret_t nvmlDeviceGetMemoryInfo_v2(device_t d, struct memory_v2 *m) {
	m->total = 16ULL << 30;
	m->reserved = 1ULL << 30;
	m->used = 2ULL << 30;
	m->free = m->total - m->used - m->reserved;
	return SUCCESS;
}
#endif

struct process { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };
ret_t nvmlDeviceGetComputeRunningProcesses_v3(device_t d, unsigned *count, struct process *p) {
	unsigned there = 3;
	if (*count < there) {
		*count = there;
		return INSUFFICIENT_SIZE;
	}
	*count = there;
	for (unsigned i = 0; i < there; i++) {
		p[i].pid = 1000 + i;
		p[i].memory = 256ULL << 20;
		p[i].gpu_instance = p[i].compute_instance = 0xffffffff;
	}
	return SUCCESS;
}

struct usage { unsigned pid; unsigned long long at; unsigned sm, memory, encoder, decoder; };
ret_t nvmlDeviceGetProcessUtilization(device_t d, struct usage *u, unsigned *count, unsigned long long since) {
	unsigned there = 2;
#ifdef GROWING
	static unsigned asked;
	if (asked++ % 4 == 1)
		there = 3; /* one more than was promised a moment ago */
#endif
	if (!u || *count < there) {
		*count = there;
		return INSUFFICIENT_SIZE;
	}
	*count = there;
	for (unsigned i = 0; i < there; i++) {
		memset(&u[i], 0, sizeof u[i]);
		u[i].pid = 1000 + i;
		u[i].at = now();
		u[i].sm = 20 + i;
	}
	return SUCCESS;
}

struct sample { unsigned long long at; union { double d; unsigned u; unsigned long long ull; } value; };
ret_t nvmlDeviceGetSamples(device_t d, int kind, unsigned long long since, int *type, unsigned *count, struct sample *s) {
#ifdef GROWING
	static unsigned asked;
	unsigned there = asked++ % 4 == 1 ? 5 : 4;
#else
	unsigned there = 4;
#endif
	*type = 1;
	if (!s) {
		*count = there;
		return SUCCESS;
	}
	if (*count < there) {
		*count = there;
		return INSUFFICIENT_SIZE;
	}
	*count = 2; /* and the rest of the list stays empty */
	unsigned long long at = now() > since + 2 ? now() : since + 2;
	for (unsigned i = 0; i < 2; i++) {
		s[i].at = at - 1 + i;
		s[i].value.ull = 0;
		s[i].value.u = 50 + 10 * i;
	}
	return SUCCESS;
}

/* One error of the first GPU, told once. */
static int told;
ret_t nvmlEventSetCreate(void **set) {
	*set = &told;
	return SUCCESS;
}
ret_t nvmlEventSetFree(void *set) { return SUCCESS; }
ret_t nvmlDeviceGetSupportedEventTypes(device_t d, unsigned long long *types) {
	*types = d->index ? 0 : 8;
	return SUCCESS;
}
ret_t nvmlDeviceRegisterEvents(device_t d, unsigned long long types, void *set) { return SUCCESS; }

struct event { device_t device; unsigned long long type, data; unsigned gpu_instance, compute_instance; };
ret_t nvmlEventSetWait_v2(void *set, struct event *e, unsigned ms) {
	if (told)
		return TIMEOUT;
	told = 1;
	memset(e, 0, sizeof *e);
	e->device = &gpus[0];
	e->type = 8;
	e->data = 79;
	return SUCCESS;
}
