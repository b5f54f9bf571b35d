/* The driver's library that tells about GPUs, as far as it is asked about their number and memory. */

#include "stand_in.h"

#include <string.h>

enum { NVML_SUCCESS = 0, NVML_INVALID_ARGUMENT = 2, NVML_WRONG_VERSION = 25 };

/* The second kind of what is told about memory begins with its size and number. */
typedef struct Memory2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
} Memory2;

int nvmlInit_v2(void) {
    return NVML_SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return NVML_SUCCESS;
}

int nvmlShutdown(void) {
    return NVML_SUCCESS;
}

const char *nvmlErrorString(int status) {
    return status == NVML_SUCCESS ? "success" : "error of the stand-in";
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)stand_in_settings()->devices;
    return NVML_SUCCESS;
}

/* A device is its number, counted from 1 so that it is not NULL. */
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index >= (unsigned)stand_in_settings()->devices)
        return NVML_INVALID_ARGUMENT;
    *device = (void *)(uintptr_t)(index + 1);
    return NVML_SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *total_free_used) {
    (void)device;
    total_free_used[0] = total_free_used[1] = stand_in_settings()->memory;
    total_free_used[2] = 0;
    return NVML_SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, Memory2 *memory) {
    (void)device;
    if (memory->version != (sizeof *memory | 2 << 24))
        return NVML_WRONG_VERSION;
    memory->total = memory->free = stand_in_settings()->memory;
    memory->reserved = memory->used = 0;
    return NVML_SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    if (size)
        strncpy(version, "580.0", size)[size - 1] = '\0';
    return NVML_SUCCESS;
}
