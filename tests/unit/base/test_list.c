#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/list.h"

struct item {
    int number;
    struct list link;
};

static void must_be(struct list *head, const char *numbers)
{
    for (struct list *at = head->next; at != head; at = at->next) {
        assert_int_equal(container_of(at, struct item, link)->number, *numbers++ - '0');
        assert_ptr_equal(at->prev->next, at);
        assert_ptr_equal(at->next->prev, at);
    }
    assert_int_equal(*numbers, '\0');
}

static void items_are_added_at_both_ends_and_removed_anywhere(void **state)
{
    struct item items[5];
    struct list head;

    (void)state;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_pop(&head));
    for (int i = 0; i < 5; i++)
        items[i].number = i;
    list_push(&head, &items[1].link);
    list_push(&head, &items[3].link);
    list_push_front(&head, &items[0].link);
    list_insert_before(&items[3].link, &items[2].link);
    must_be(&head, "0123");
    list_remove(&items[2].link);
    list_remove(&items[2].link);
    must_be(&head, "013");
    assert_ptr_equal(list_pop(&head), &items[0].link);
    must_be(&head, "13");
}

static void a_spliced_list_keeps_its_order(void **state)
{
    struct item items[4];
    struct list a, b;

    (void)state;
    list_init(&a);
    list_init(&b);
    list_splice(&a, &b);
    assert_true(list_is_empty(&a));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_push(i < 2 ? &a : &b, &items[i].link);
    }
    list_splice(&a, &b);
    must_be(&a, "0123");
    assert_true(list_is_empty(&b));
    list_splice(&b, &a);
    must_be(&b, "0123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_added_at_both_ends_and_removed_anywhere),
        cmocka_unit_test(a_spliced_list_keeps_its_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
