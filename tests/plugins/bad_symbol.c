/* Refused by the loader: exports no dkv_plugin. */
#include "dkv/types.h"

extern DKV_EXPORT const int not_a_plugin;
const int not_a_plugin = 1;
