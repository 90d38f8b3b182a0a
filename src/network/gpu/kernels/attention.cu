#include "nvcc.cuh"
#include "attention.cuh"
