#define PYRAMIDION_FLOATS floats_avx512
#include "cpu/floats/table.inc.h"
