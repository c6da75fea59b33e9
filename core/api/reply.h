/* Private to core/api: the answers, and the one table from status to HTTP code.
 *
 * Every function here answers call->request if its client is still there, and frees the call. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <jansson.h>

#include "api/call.h"

enum reply_outcome { OUTCOME_NONE, OUTCOME_UNKNOWN };

struct problem {
    unsigned status;
    const char *code; /* stable, for programs */
    const char *title;
    enum reply_outcome outcome;
};

extern const struct problem problem_bad_key, problem_bad_query, problem_bad_header, problem_origin,
    problem_host, problem_not_found, problem_no_route, problem_method, problem_condition,
    problem_no_leader, problem_timeout, problem_disk_full, problem_overload, problem_stopping,
    problem_storage, problem_not_supported, problem_too_long;

/* application/problem+json; detail says what, why and what to do. */
void reply_problem(struct call *call, const struct problem *problem, const char *fmt, ...)
    DKV_PRINTF(3, 4);
/* The same with an ETag of the present revision (0 = absent: none). */
void reply_condition_failed(struct call *call, uint64_t revision);
void reply_method_not_allowed(struct call *call, const char *allow);
/* The problem that stands for a failed write, barrier or storage call. */
void reply_status(struct call *call, int status);

void reply_empty(struct call *call, unsigned status, uint64_t revision); /* 0 = no ETag */
void reply_value(struct call *call, uint64_t revision, struct dkv_slice value);
void reply_text(struct call *call, unsigned status, const char *content_type, const void *text,
                size_t len);
void reply_json(struct call *call, json_t *json); /* takes the reference */

#endif
