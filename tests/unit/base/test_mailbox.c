#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <unistd.h>

#include "base/mailbox.h"
#include "base/thread.h"

#define WRITERS 4
#define LETTERS 5000

struct letter {
    struct list link;
    int writer, number;
};

static bool is_readable(const struct mailbox *m)
{
    struct pollfd p = {.fd = mailbox_fd(m), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static int next_number(struct list *mail)
{
    struct list *link = list_pop(mail);

    return link == NULL ? -1 : container_of(link, struct letter, link)->number;
}

static void mail_is_taken_in_the_order_of_posting(void **state)
{
    struct letter letters[5];
    struct mailbox m;
    struct list mail;

    (void)state;
    list_init(&mail);
    assert_int_equal(mailbox_open(&m, NULL), DKV_OK);
    assert_false(mailbox_drain(&m, &mail));
    for (int i = 0; i < 3; i++) {
        letters[i].number = i;
        mailbox_post(&m, &letters[i].link);
    }
    assert_true(mailbox_has_mail(&m));
    assert_true(mailbox_drain(&m, &mail));
    for (int i = 3; i < 5; i++) {
        letters[i].number = i;
        mailbox_post(&m, &letters[i].link);
    }
    assert_true(mailbox_drain(&m, &mail));
    for (int i = 0; i < 5; i++)
        assert_int_equal(next_number(&mail), i);
    assert_int_equal(next_number(&mail), -1);
    assert_false(mailbox_has_mail(&m));
    mailbox_close(&m);
}

static void a_post_wakes_only_a_sleeping_reader_and_only_once(void **state)
{
    struct letter letters[4];
    struct mailbox m;
    struct list mail;

    (void)state;
    list_init(&mail);
    assert_int_equal(mailbox_open(&m, NULL), DKV_OK);
    mailbox_post(&m, &letters[0].link);
    assert_true(is_readable(&m));
    mailbox_drain(&m, &mail);
    assert_false(is_readable(&m));

    mailbox_post(&m, &letters[1].link);
    assert_false(is_readable(&m));
    assert_false(mailbox_sleep(&m));
    mailbox_drain(&m, &mail);

    assert_true(mailbox_sleep(&m));
    assert_true(mailbox_sleep(&m));
    assert_false(is_readable(&m));
    mailbox_post(&m, &letters[2].link);
    mailbox_post(&m, &letters[3].link);
    assert_false(mailbox_sleep(&m));
    assert_true(m.wakes_due == 0);
    assert_true(is_readable(&m));
    assert_true(mailbox_drain(&m, &mail));
    assert_false(is_readable(&m));
    assert_true(m.wakes_due == 0);
    mailbox_close(&m);
}

/* A writer that is stopped between its post and its wake-up: the test takes the wake-up out of the
 * eventfd and puts it back later. */
static void a_late_wake_up_does_not_stay_for_ever(void **state)
{
    struct letter letters[2];
    struct mailbox m;
    struct list mail;
    uint64_t one = 0;

    (void)state;
    list_init(&mail);
    assert_int_equal(mailbox_open(&m, NULL), DKV_OK);
    mailbox_post(&m, &letters[0].link);
    assert_int_equal(read(mailbox_fd(&m), &one, sizeof(one)), sizeof(one));
    assert_true(mailbox_drain(&m, &mail));
    assert_true(mailbox_sleep(&m));
    mailbox_post(&m, &letters[1].link);
    assert_true(mailbox_drain(&m, &mail));
    assert_false(is_readable(&m));
    assert_int_equal(write(mailbox_fd(&m), &one, sizeof(one)), sizeof(one));
    assert_true(is_readable(&m));
    assert_false(mailbox_drain(&m, &mail));
    assert_false(is_readable(&m));
    mailbox_close(&m);
}

static void rearming_with_mail_there_makes_the_fd_readable(void **state)
{
    struct letter letter;
    struct mailbox m;
    struct list mail;

    (void)state;
    list_init(&mail);
    assert_int_equal(mailbox_open(&m, NULL), DKV_OK);
    mailbox_drain(&m, &mail);
    mailbox_post(&m, &letter.link);
    mailbox_rearm(&m);
    assert_true(is_readable(&m));
    assert_true(mailbox_drain(&m, &mail));
    assert_false(is_readable(&m));
    mailbox_rearm(&m);
    assert_false(is_readable(&m));
    mailbox_post(&m, &letter.link);
    assert_true(is_readable(&m));
    mailbox_close(&m);
}

struct writer {
    struct thread thread;
    struct mailbox *to;
    struct letter letters[LETTERS];
};

static void write_letters(void *ctx)
{
    struct writer *w = ctx;

    for (int i = 0; i < LETTERS; i++)
        mailbox_post(w->to, &w->letters[i].link);
}

static struct writer writers[WRITERS];

static void start_writers(struct mailbox *m)
{
    for (int w = 0; w < WRITERS; w++) {
        writers[w].to = m;
        for (int i = 0; i < LETTERS; i++)
            writers[w].letters[i] = (struct letter){.writer = w, .number = i};
        assert_int_equal(
            thread_start(&writers[w].thread, "writer", NULL, write_letters, &writers[w], NULL),
            DKV_OK);
    }
}

static void read_all(struct mailbox *m, bool is_callback)
{
    int next[WRITERS] = {0}, count = 0;
    struct list mail, *link;

    list_init(&mail);
    while (count < WRITERS * LETTERS) {
        struct pollfd p = {.fd = mailbox_fd(m), .events = POLLIN};

        mailbox_drain(m, &mail);
        while ((link = list_pop(&mail)) != NULL) {
            struct letter *letter = container_of(link, struct letter, link);

            assert_int_equal(letter->number, next[letter->writer]++);
            count++;
        }
        if (count == WRITERS * LETTERS)
            break;
        if (is_callback)
            mailbox_rearm(m);
        if (is_callback || mailbox_sleep(m))
            assert_int_equal(poll(&p, 1, 30000), 1); /* a lost wake-up ends here */
    }
    for (int w = 0; w < WRITERS; w++)
        thread_join(&writers[w].thread);
    mailbox_drain(m, &mail);
    mailbox_drain(m, &mail);
    assert_false(is_readable(m)); /* late wake-ups are accounted for too */
}

static void no_letter_and_no_wake_up_is_lost_between_threads(void **state)
{
    struct mailbox m;

    (void)state;
    for (int round = 0; round < 6; round++) {
        assert_int_equal(mailbox_open(&m, NULL), DKV_OK);
        start_writers(&m);
        read_all(&m, round % 2 == 1);
        mailbox_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_is_taken_in_the_order_of_posting),
        cmocka_unit_test(a_post_wakes_only_a_sleeping_reader_and_only_once),
        cmocka_unit_test(a_late_wake_up_does_not_stay_for_ever),
        cmocka_unit_test(rearming_with_mail_there_makes_the_fd_readable),
        cmocka_unit_test(no_letter_and_no_wake_up_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
