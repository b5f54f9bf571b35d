/* What the environment asks for, read once. */

#include "stand_in.h"

#include <pthread.h>
#include <stdlib.h>

/* A device with room for every picture that the tests make: what is too large for a smaller one is a test of its own. */
#define DEFAULT_MIB (80.0 * 1024)

/* CUDA 13.0, the first that the provider for CUDA 13 takes. */
#define DEFAULT_DRIVER 13000

static Settings settings;

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}

static const char *text(const char *name) {
    const char *found = getenv(name);
    return found && *found ? found : NULL;
}

static void read_environment(void) {
    settings = (Settings){
        .memory = (uint64_t)(number("FACESR_STAND_IN_MIB", DEFAULT_MIB) * (1 << 20)),
        .devices = (int)number("FACESR_STAND_IN_DEVICES", 1),
        .driver = (int)number("FACESR_STAND_IN_DRIVER", DEFAULT_DRIVER),
        .convolution_us = number("FACESR_STAND_IN_CONVOLUTION_US", 0),
        .kernel_us = number("FACESR_STAND_IN_KERNEL_US", 0),
        .gigabytes_per_second = number("FACESR_STAND_IN_GB_PER_S", 0),
        .most_pixels = number("FACESR_STAND_IN_MOST_PIXELS", 1e18),
        .tensor_cores = number("FACESR_STAND_IN_TENSOR_CORES", 0) != 0,
        .off_by = number("FACESR_STAND_IN_OFF_BY", 0),
        .log = text("FACESR_STAND_IN_LOG"),
        .fail = text("FACESR_STAND_IN_FAIL"),
    };
}

const Settings *stand_in_settings(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_environment);
    return &settings;
}
