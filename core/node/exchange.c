#include "node/exchange.h"

int exchange_open(struct exchange *x, struct dkv_error *err)
{
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        int status = mailbox_open(&x->boxes[i], err);

        if (status != DKV_OK) {
            while (i-- > 0)
                mailbox_close(&x->boxes[i]);
            return status;
        }
    }
    return DKV_OK;
}

void exchange_close(struct exchange *x)
{
    for (int i = 0; i < EXCHANGE_KINDS; i++)
        mailbox_close(&x->boxes[i]);
}

bool exchange_sleep(struct exchange *x)
{
    bool can_block = true;

    for (int i = 0; i < EXCHANGE_KINDS; i++)
        can_block = mailbox_sleep(&x->boxes[i]) && can_block;
    return can_block;
}
