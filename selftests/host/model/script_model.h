/* SPDX-License-Identifier: MIT */
/* The model as a store for scripts, for the engine of kvbmctl exec. */
#ifndef KVBM_MODEL_SCRIPT_MODEL_H
#define KVBM_MODEL_SCRIPT_MODEL_H

#include "model.h"
#include "script.h"

/* Of one script at a time. Sessions are the model's, by their numbers. */
extern const struct script_backend script_model;

/* The script's store, or NULL. */
const struct model *script_model_store(void);

#endif
