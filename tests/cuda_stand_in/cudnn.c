/* cuDNN, as far as it has to answer more than that all went well. */

#include "stand_in.h"

#include <stdlib.h>
#include <string.h>

enum {
    CUDNN_SUCCESS = 0,
    CUDNN_ALLOCATION_FAILED = 4000,
    CUDNN_EXECUTION_FAILED = 5000,
    VERSION = 92801,
};

/* Types of a descriptor's attributes, and the one that is asked for by its name here. */
enum { TYPE_INT64 = 3, TYPE_NUMERICAL_NOTE = 11, TYPE_DESCRIPTOR = 15, TYPE_INT32 = 23, ENGINE_KNOBS = 302 };

/* The kind of a descriptor that says how something is to be run, for which a real library chooses and compiles. */
enum { EXECUTION_PLAN = 5 };

/* Room for a descriptor of any kind, and for what is told of an algorithm. */
enum { DESCRIPTOR_SIZE = 256, ALGORITHM_SIZE = 64 };

/* A handle is the stream that its work goes to. */
typedef struct Handle {
    void *stream;
} Handle;

size_t cudnnGetVersion(void) {
    return VERSION;
}

const char *cudnnGetErrorString(int status) {
    switch (status) {
    case CUDNN_SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_ALLOCATION_FAILED: return "CUDNN_STATUS_ALLOC_FAILED";
    case CUDNN_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

void cudnnGetLastErrorString(char *text, size_t size) {
    if (size)
        *text = '\0';
}

int cudnnCreate(Handle **handle) {
    CALLED(CUDNN_ALLOCATION_FAILED);
    stand_in_note("handle", 0);
    *handle = calloc(1, sizeof **handle);
    return *handle ? CUDNN_SUCCESS : CUDNN_ALLOCATION_FAILED;
}

int cudnnDestroy(Handle *handle) {
    free(handle);
    return CUDNN_SUCCESS;
}

int cudnnSetStream(Handle *handle, void *stream) {
    handle->stream = stream;
    return CUDNN_SUCCESS;
}

int cudnnGetStream(const Handle *handle, void **stream) {
    *stream = handle->stream;
    return CUDNN_SUCCESS;
}

static int convolve(const Handle *handle) {
    stand_in_busy(COMPUTE, handle->stream, stand_in_settings()->convolution_us);
    return CUDNN_SUCCESS;
}

/* What follows the handle says what is convolved, which is nobody's concern here. */
int cudnnBackendExecute(const Handle *handle) {
    CALLED(CUDNN_EXECUTION_FAILED);
    return convolve(handle);
}

int cudnnConvolutionForward(const Handle *handle) {
    CALLED(CUDNN_EXECUTION_FAILED);
    return convolve(handle);
}

int cudnnConvolutionBiasActivationForward(const Handle *handle) {
    CALLED(CUDNN_EXECUTION_FAILED);
    return convolve(handle);
}

/* A descriptor begins with its kind. */
int cudnnBackendCreateDescriptor(int kind, int **descriptor) {
    CALLED(CUDNN_ALLOCATION_FAILED);
    *descriptor = calloc(1, DESCRIPTOR_SIZE);
    if (!*descriptor)
        return CUDNN_ALLOCATION_FAILED;
    **descriptor = kind;
    return CUDNN_SUCCESS;
}

int cudnnBackendFinalize(const int *descriptor) {
    CALLED(CUDNN_EXECUTION_FAILED);
    if (*descriptor == EXECUTION_PLAN)
        stand_in_note("plan", 0);
    return CUDNN_SUCCESS;
}

int cudnnBackendDestroyDescriptor(void *descriptor) {
    free(descriptor);
    return CUDNN_SUCCESS;
}

/* One of whatever is asked for, which is 0: one engine, for one, that needs no workspace. It has no knobs to turn, and is
   for tensor cores where that was asked for. */
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *values) {
    (void)descriptor;
    CALLED(CUDNN_EXECUTION_FAILED);
    bool has_note = type == TYPE_NUMERICAL_NOTE && stand_in_settings()->tensor_cores;
    int64_t found = type == TYPE_INT64 || type == TYPE_INT32 || (type == TYPE_DESCRIPTOR && name != ENGINE_KNOBS) || has_note;
    if (found && wanted > 0 && values && type == TYPE_INT64)
        memset(values, 0, sizeof(int64_t));
    /* The note 0 says that an engine is for tensor cores. */
    if (found && wanted > 0 && values && (type == TYPE_INT32 || has_note))
        memset(values, 0, sizeof(int32_t));
    if (count)
        *count = found;
    return CUDNN_SUCCESS;
}

/* One algorithm, the first, which needs no workspace. */
static int one_algorithm(int *count, void *algorithms) {
    memset(algorithms, 0, ALGORITHM_SIZE);
    *count = 1;
    return CUDNN_SUCCESS;
}

int cudnnFindConvolutionForwardAlgorithmEx(Handle *handle, void *input, void *samples, void *filter, void *weights,
                                           void *convolution, void *output, void *made, int wanted, int *count,
                                           void *algorithms, void *workspace, size_t size) {
    (void)handle, (void)input, (void)samples, (void)filter, (void)weights, (void)convolution, (void)output, (void)made;
    (void)wanted, (void)workspace, (void)size;
    CALLED(CUDNN_EXECUTION_FAILED);
    return one_algorithm(count, algorithms);
}

int cudnnGetConvolutionForwardAlgorithm_v7(Handle *handle, void *input, void *filter, void *convolution, void *output,
                                           int wanted, int *count, void *algorithms) {
    (void)handle, (void)input, (void)filter, (void)convolution, (void)output, (void)wanted;
    CALLED(CUDNN_EXECUTION_FAILED);
    return one_algorithm(count, algorithms);
}

int cudnnGetConvolutionForwardWorkspaceSize(Handle *handle, void *input, void *filter, void *convolution, void *output,
                                            int algorithm, size_t *size) {
    (void)handle, (void)input, (void)filter, (void)convolution, (void)output, (void)algorithm;
    *size = 0;
    return CUDNN_SUCCESS;
}

int cudnnGetReductionWorkspaceSize(Handle *handle, void *reduction, void *input, void *output, size_t *size) {
    (void)handle, (void)reduction, (void)input, (void)output;
    *size = 0;
    return CUDNN_SUCCESS;
}

int cudnnGetReductionIndicesSize(Handle *handle, void *reduction, void *input, void *output, size_t *size) {
    return cudnnGetReductionWorkspaceSize(handle, reduction, input, output, size);
}

#define CREATES(name)                                                 \
    int name(void **descriptor) {                                     \
        CALLED(CUDNN_ALLOCATION_FAILED);                              \
        *descriptor = calloc(1, DESCRIPTOR_SIZE);                     \
        return *descriptor ? CUDNN_SUCCESS : CUDNN_ALLOCATION_FAILED; \
    }

#define DESTROYS(name)            \
    int name(void *descriptor) {  \
        free(descriptor);         \
        return CUDNN_SUCCESS;     \
    }

#define DESCRIPTOR(kind)                 \
    CREATES(cudnnCreate##kind##Descriptor) \
    DESTROYS(cudnnDestroy##kind##Descriptor)

DESCRIPTOR(Activation)
DESCRIPTOR(Convolution)
DESCRIPTOR(Dropout)
DESCRIPTOR(Filter)
DESCRIPTOR(LRN)
DESCRIPTOR(Pooling)
DESCRIPTOR(RNN)
DESCRIPTOR(RNNData)
DESCRIPTOR(ReduceTensor)
DESCRIPTOR(Tensor)
