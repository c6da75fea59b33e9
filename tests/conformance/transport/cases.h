/* The cases, by what they look at; each a cmocka test on a struct net. */
#ifndef CONFORMANCE_TRANSPORT_CASES_H
#define CONFORMANCE_TRANSPORT_CASES_H

#include "ends.h"

int run_cases(void);

/* case_flush.c */
void test_flush_writes_without_a_turn_of_the_loop(void **state);
void test_flush_of_nothing_is_ok(void **state);
void test_what_flush_cannot_write_follows_by_itself(void **state);
void test_additions_and_flushes_keep_their_order(void **state);
void test_an_owner_may_enable_writing_himself(void **state);
void test_flush_before_the_connect_waits(void **state);
void test_flush_does_not_hide_that_a_connect_failed(void **state);
void test_flush_after_a_reset_is_told_by_the_loop(void **state);

/* case_trouble.c */
void test_a_refused_connect_is_an_error_with_a_reason(void **state);
void test_a_connect_that_nobody_answers_times_out(void **state);
void test_a_reset_is_an_error_with_a_reason(void **state);
void test_a_bad_descriptor_is_refused_and_stays_the_callers(void **state);
void test_closing_drops_what_waits_and_calls_nobody(void **state);
void test_closing_while_connecting(void **state);
void test_an_address_in_use_is_said_with_its_owner(void **state);
void test_an_address_that_is_none_is_refused(void **state);
void test_an_unknown_option_is_refused(void **state);
void test_an_option_of_the_wrong_kind_is_refused(void **state);
void test_an_option_out_of_bounds_is_refused(void **state);

#endif
