/* cuBLAS and cuBLASLt, as far as they have to answer more than that all went well. One source for both libraries: who
   asks one for a function of the other asks in vain. */

#include "stand_in.h"

#include <stdlib.h>
#include <string.h>

enum { CUBLAS_SUCCESS = 0, CUBLAS_ALLOCATION_FAILED = 3, CUBLAS_EXECUTION_FAILED = 13 };

/* Room for a handle or a description of any kind, and for what is told of an algorithm. */
enum { HANDLE_SIZE = 256, ALGORITHM_SIZE = 96 };

#define CREATES(name)                                                \
    int name(void **made) {                                          \
        CALLED(CUBLAS_ALLOCATION_FAILED);                            \
        *made = calloc(1, HANDLE_SIZE);                              \
        return *made ? CUBLAS_SUCCESS : CUBLAS_ALLOCATION_FAILED;    \
    }

#define DESTROYS(name)          \
    int name(void *made) {      \
        free(made);             \
        return CUBLAS_SUCCESS;  \
    }

#ifdef STAND_IN_LT

CREATES(cublasLtCreate)
DESTROYS(cublasLtDestroy)
CREATES(cublasLtMatmulDescCreate)
DESTROYS(cublasLtMatmulDescDestroy)
CREATES(cublasLtMatmulPreferenceCreate)
DESTROYS(cublasLtMatmulPreferenceDestroy)
CREATES(cublasLtMatrixLayoutCreate)
DESTROYS(cublasLtMatrixLayoutDestroy)
CREATES(cublasLtMatrixTransformDescCreate)
DESTROYS(cublasLtMatrixTransformDescDestroy)

/* One algorithm, which needs no workspace. */
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference,
                                   int wanted, void *algorithms, int *count) {
    (void)handle, (void)operation, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
    CALLED(CUBLAS_EXECUTION_FAILED);
    memset(algorithms, 0, ALGORITHM_SIZE);
    *count = 1;
    return CUBLAS_SUCCESS;
}

#else

CREATES(cublasCreate_v2)
DESTROYS(cublasDestroy_v2)

int cublasGetMathMode(void *handle, int *mode) {
    (void)handle;
    *mode = 0;
    return CUBLAS_SUCCESS;
}

static const char *words_of(int status) {
    switch (status) {
    case CUBLAS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_ALLOCATION_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    default: return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}

const char *cublasGetStatusName(int status) {
    return words_of(status);
}

const char *cublasGetStatusString(int status) {
    return words_of(status);
}

#endif
