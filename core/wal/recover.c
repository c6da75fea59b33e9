/* What a start makes of the files: every record is judged, a torn end is told from damage.
 *
 * In each segment records follow each other at known places, so the first place where neither the
 * header in front of the payload nor its copy in the header zone verifies is where the segment's
 * log ends, rightly or not.  It is the normal end if both places are blank.  If they are not, or
 * if the last batch is incomplete, something was torn: harmless in the last segment above the
 * durable mark (docs/decisions/0009-torn-end.md).  Everything else is damage, and is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include "wal/internal.h"

struct scan {
    struct wal *w;
    struct wal_recovery *out;
    const uint8_t *bytes; /* the whole segment */
    uint64_t len;
    struct wal__segment *segment;
    char path[WAL__PATH_MAX];
    uint64_t at;   /* where the next header is due */
    uint32_t slot; /* and its copy */
    uint32_t chain, batch_seq;
    uint16_t batch_left; /* records of the open batch that are due */
    raft_index mark;     /* highest durable mark of all segments */
    uint32_t runs_cap, configs_cap;
    bool is_sealed;
    bool has_holes;        /* the disk does not give all of it: no torn write does that */
    const char *fault;     /* the first damage that was found, */
    raft_index fault_from; /* and the first entry it concerns */
};

/* tell_damage puts it in words, when the rest has been looked at. */
static int damaged(struct scan *s, raft_index from, const char *what)
{
    s->fault = what;
    s->fault_from = from;
    return WAL_EDAMAGED;
}

static uint64_t slot_offset(uint32_t slot)
{
    return WAL__ZONE_OFFSET + (uint64_t)slot * WAL__RECORD_HEADER;
}

static bool is_blank(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* The header due at s->at: from its place, else from its copy. */
static bool find_header(const struct scan *s, struct wal__record *record_out)
{
    uint64_t salt = s->segment->super.salt;

    if (s->at + WAL__RECORD_HEADER <= s->len &&
        wal__record_decode(s->bytes + s->at, salt, s->at, record_out) &&
        (uint64_t)record_out->data_offset * 8 == s->at)
        return true;
    return s->slot < wal__slots(s->len) &&
           wal__record_decode(s->bytes + slot_offset(s->slot), salt, slot_offset(s->slot),
                              record_out) &&
           (uint64_t)record_out->data_offset * 8 == s->at;
}

static bool payload_is_good(const struct scan *s, const struct wal__record *r)
{
    uint64_t begin = s->at + WAL__RECORD_HEADER;

    return begin + r->data_len <= s->len &&
           wal__payload_sum(s->bytes + begin, r->data_len, r->index, r->term,
                            s->segment->super.salt) == r->data_sum;
}

static bool fits(const struct scan *s, const struct wal__record *r)
{
    raft_index due = s->segment->first == 0 ? s->segment->super.first_index
                                            : s->segment->first + s->segment->count;

    if (r->chain != wal__chain(s->chain, r))
        return false;
    return r->type >= WAL__RECORD_MARK || r->index == due;
}

/* The headers that verify behind a place that the walk does not get past. */
struct beyond {
    bool is_there;
    uint32_t batch_seq;     /* highest */
    raft_index index, mark; /* highest */
};

static void note_beyond(struct beyond *b, const struct wal__record *r)
{
    b->is_there = true;
    b->batch_seq = r->batch_seq > b->batch_seq ? r->batch_seq : b->batch_seq;
    b->mark = r->durable_mark > b->mark ? r->durable_mark : b->mark;
    if (r->type < WAL__RECORD_MARK && r->index > b->index)
        b->index = r->index;
}

static struct beyond look_beyond(const struct scan *s, uint64_t salt)
{
    struct beyond b = {.is_there = false};
    struct wal__record r;

    for (uint32_t slot = s->slot; slot < wal__slots(s->len); slot++) {
        if (wal__record_decode(s->bytes + slot_offset(slot), salt, slot_offset(slot), &r))
            note_beyond(&b, &r);
    }
    for (uint64_t at = wal__pad_block(s->at); at + WAL__RECORD_HEADER <= s->len; at += WAL__BLOCK) {
        if (wal__record_decode(s->bytes + at, salt, at, &r))
            note_beyond(&b, &r);
    }
    return b;
}

/* Is there a record of a later batch beyond the place where the log seems to end? */
static bool has_later_batch(const struct scan *s, const struct beyond *b)
{
    return b->batch_seq > (s->batch_left > 0 ? s->batch_seq : s->batch_seq + 1);
}

static bool is_blank_end(const struct scan *s)
{
    bool slot_is_blank = s->slot >= wal__slots(s->len) ||
                         is_blank(s->bytes + slot_offset(s->slot), WAL__RECORD_HEADER);
    bool data_is_blank =
        s->at + WAL__RECORD_HEADER > s->len || is_blank(s->bytes + s->at, WAL__RECORD_HEADER);

    return s->batch_left == 0 && slot_is_blank && data_is_blank;
}

static void note_run(struct scan *s, raft_index index, raft_term term)
{
    struct wal_recovery *out = s->out;

    if (out->runs_count > 0 && out->runs[out->runs_count - 1].term == term)
        return;
    if (out->runs_count == s->runs_cap) {
        s->runs_cap = s->runs_cap == 0 ? 16 : s->runs_cap * 2;
        out->runs = xreallocarray(out->runs, s->runs_cap, sizeof(out->runs[0]));
    }
    out->runs[out->runs_count++] = (struct raft_run){index, term};
}

static void note_config(struct scan *s, const struct wal__record *r)
{
    struct wal_recovery *out = s->out;
    void *payload = xmalloc(r->data_len);

    memcpy(payload, s->bytes + s->at + WAL__RECORD_HEADER, r->data_len);
    if (out->configs_count == s->configs_cap) {
        s->configs_cap = s->configs_cap == 0 ? 8 : s->configs_cap * 2;
        out->configs = xreallocarray(out->configs, s->configs_cap, sizeof(out->configs[0]));
    }
    out->configs[out->configs_count++] = (struct raft_entry){
        .index = r->index, .term = r->term, .type = r->type, .len = r->data_len, .data = payload};
}

static void take_record(struct scan *s, const struct wal__record *r)
{
    s->chain = r->chain;
    s->batch_seq = r->batch_seq;
    s->batch_left = (uint16_t)(r->batch_count - r->batch_pos - 1);
    if (r->durable_mark > s->mark)
        s->mark = r->durable_mark;
    s->is_sealed = r->type == WAL__RECORD_SEAL;
    if (r->type < WAL__RECORD_MARK) {
        wal__segment_add(s->segment, r->index, s->at);
        if (r->index > s->out->base_index) {
            note_run(s, r->index, r->term);
            if (r->type == RAFT_ENTRY_CONFIG)
                note_config(s, r);
            s->out->last_index = r->index;
        }
    }
    s->slot++;
    s->at += WAL__RECORD_HEADER + wal__pad8(r->data_len);
    if (s->batch_left == 0)
        s->at = wal__pad_block(s->at);
}

/* Entries from `from` on were replaced by a later segment. */
static void forget_from(struct scan *s, raft_index from)
{
    struct wal_recovery *out = s->out;

    while (out->runs_count > 0 && out->runs[out->runs_count - 1].first >= from)
        out->runs_count--;
    while (out->configs_count > 0 && out->configs[out->configs_count - 1].index >= from)
        free((void *)(uintptr_t)out->configs[--out->configs_count].data);
    if (out->last_index >= from)
        out->last_index = from - 1 > out->base_index ? from - 1 : out->base_index;
    for (uint32_t i = 0; i < s->w->segments_count; i++)
        wal__segment_cut(&s->w->segments[i], from);
}

static void note_end(struct scan *s)
{
    s->segment->data_end = s->at;
    s->segment->slots_used = s->slot;
}

/* A mark is written and not synced, so the power can go when the batch after it is on disk and the
 * mark is not: that batch was never synced, or it or a later one would say that more is durable. */
static bool lacks_a_mark(const struct scan *s, const struct beyond *b, raft_index next)
{
    return is_blank_end(s) && b->batch_seq == s->batch_seq + 2 && b->mark < next;
}

static int end_of_segment(struct scan *s, bool is_last, uint64_t last_needed)
{
    raft_index next = s->segment->first == 0 ? s->segment->super.first_index
                                             : s->segment->first + s->segment->count;
    struct beyond b = look_beyond(s, s->segment->super.salt);

    note_end(s);
    if (is_blank_end(s) && !b.is_there)
        return DKV_OK;
    if (s->has_holes)
        return damaged(s, next, "the disk cannot read all of this file (I/O error)");
    if (has_later_batch(s, &b) && !lacks_a_mark(s, &b, next))
        return damaged(s, next, "a record is missing, and later ones are there");
    if (!is_last && next <= last_needed)
        return damaged(s, next, "a record is damaged in the middle of the log");
    if (is_last && s->is_sealed)
        return damaged(s, next, "there is something behind the seal");
    if (is_last) {
        s->out->torn_bytes = s->len - s->at;
        s->out->tail_unknown = true;
    }
    return DKV_OK;
}

/* A header that verifies and a payload that does not: torn if this is the batch that was being
 * written when the machine stopped, damage if anything says that it had been synced. */
static int bad_record(struct scan *s, const struct wal__record *r, bool is_last,
                      raft_index last_needed)
{
    struct beyond b = look_beyond(s, s->segment->super.salt);

    if (s->has_holes)
        return damaged(s, r->index, "the disk cannot read all of this file (I/O error)");
    if (is_last && r->index > s->mark && !has_later_batch(s, &b)) {
        s->batch_seq = r->batch_seq;
        s->batch_left = 1;
        return end_of_segment(s, true, last_needed);
    }
    if (!is_last && r->type < WAL__RECORD_MARK && r->index > last_needed) {
        note_end(s);
        return DKV_OK;
    }
    return damaged(s, r->index, "the payload does not match its checksum");
}

static int scan_records(struct scan *s, bool is_last, raft_index last_needed)
{
    struct wal__record r;

    while (find_header(s, &r)) {
        if (!fits(s, &r))
            return damaged(s, r.index, "a record is out of its order");
        if (!payload_is_good(s, &r))
            return bad_record(s, &r, is_last, last_needed);
        take_record(s, &r);
    }
    return end_of_segment(s, is_last, last_needed);
}

/* --- files --- */

/* What cannot be read becomes something that no checksum fits. */
static bool read_pieces(struct fs_file *file, uint8_t *bytes, uint64_t size)
{
    bool has_holes = false;

    for (uint64_t at = 0; at < size; at += WAL__BLOCK) {
        size_t want = size - at < WAL__BLOCK ? (size_t)(size - at) : WAL__BLOCK, got = 0;

        if (file->fs->ops->read(file, bytes + at, want, at, &got) == DKV_OK && got == want)
            continue;
        memset(bytes + at, 0xa5, want);
        has_holes = true;
    }
    return has_holes;
}

static int read_segment(struct scan *s, uint8_t **bytes_out)
{
    struct fs *fs = s->w->config.env->fs;
    struct fs_file *file;
    uint64_t size = 0;
    size_t got = 0;
    int status = fs->ops->open(fs, s->path, FS_READ | FS_DIRECT, &file);

    *bytes_out = NULL;
    s->has_holes = false;
    if (status != DKV_OK)
        return status;
    status = fs->ops->size(file, &size);
    if (status == DKV_OK)
        *bytes_out = mem_try(size);
    if (status == DKV_OK)
        status = *bytes_out == NULL ? DKV_ENOMEM : fs->ops->read(file, *bytes_out, size, 0, &got);
    if (status == DKV_EIO) {
        s->has_holes = read_pieces(file, *bytes_out, size);
        got = (size_t)size;
        status = DKV_OK;
    }
    (void)fs->ops->close(file);
    s->len = got;
    if (status != DKV_OK) {
        free(*bytes_out);
        *bytes_out = NULL;
    }
    return status;
}

struct names {
    struct {
        uint64_t seq, first_index;
    } * items;
    size_t count, cap;
};

static int note_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    unsigned long long seq, first;
    char tail[8];

    if (strlen(name) != 37 || sscanf(name, "%16llx-%16llx.%4s", &seq, &first, tail) != 3 ||
        strcmp(tail, "seg") != 0)
        return 0;
    if (names->count == names->cap) {
        names->cap = names->cap == 0 ? 16 : names->cap * 2;
        names->items = xreallocarray(names->items, names->cap, sizeof(names->items[0]));
    }
    names->items[names->count].seq = seq;
    names->items[names->count++].first_index = first;
    return 0;
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int read_super(struct scan *s, uint64_t seq, struct wal__super *super_out,
                      struct dkv_error *err)
{
    const struct wal_identity *us = &s->w->config.identity;
    int status = DKV_ECORRUPT;

    for (int copy = 0; copy < 2 && status != DKV_OK; copy++) {
        if (s->len >= (uint64_t)(copy + 1) * WAL__BLOCK)
            status = wal__super_decode(s->bytes + copy * WAL__BLOCK, super_out);
        if (status == DKV_ENOTSUP)
            return dkv_error_set(err, WAL_EFOREIGN, "%s: written by a newer dkvd; use that one",
                                 s->path);
    }
    s->at = 0;
    if (status != DKV_OK)
        return damaged(s, s->out->last_index + 1, "both superheaders are damaged");
    if (memcmp(super_out->identity.cluster_id, us->cluster_id, 16) != 0 ||
        super_out->identity.node_id != us->node_id ||
        super_out->identity.incarnation != us->incarnation)
        return dkv_error_set(err, WAL_EFOREIGN, "%s: belongs to another node or cluster", s->path);
    if (super_out->seq != seq)
        return damaged(s, s->out->last_index + 1, "the file is another segment under this name");
    if (super_out->file_bytes != s->len)
        return damaged(s, s->out->last_index + 1, "the file has another length than it says");
    return DKV_OK;
}

static int scan_segment(struct scan *s, const struct names *names, size_t i, struct dkv_error *err)
{
    bool is_last = i + 1 == names->count;
    /* Of this segment only what the next one does not replace is needed. */
    raft_index last_needed = is_last ? UINT64_MAX : names->items[i + 1].first_index - 1;
    struct wal__super super = {.seq = names->items[i].seq,
                               .first_index = names->items[i].first_index};
    uint8_t *bytes = NULL;
    int status;

    wal__segment_path(s->path, &super);
    status = read_segment(s, &bytes);
    if (status != DKV_OK)
        return dkv_error_set(err, status, "%s: %s", s->path, status_text(status));
    s->bytes = bytes;
    status = read_super(s, super.seq, &super, err);
    if (status != DKV_OK)
        goto done;
    if (super.durable > s->mark)
        s->mark = super.durable;
    if (super.first_index > s->out->last_index + 1) {
        status = damaged(s, s->out->last_index + 1, "entries before this segment are missing");
        goto done;
    }
    if (s->mark >= super.first_index)
        s->mark = super.first_index - 1;
    forget_from(s, super.first_index);
    s->segment = wal__add_segment(s->w, &super);
    s->at = wal__data_offset(s->len);
    s->slot = s->chain = s->batch_seq = 0;
    s->batch_left = 0;
    s->is_sealed = false;
    status = scan_records(s, is_last, last_needed);
    if (super.vote_gen > s->w->vote.gen && status == DKV_OK)
        status =
            dkv_error_set(err, WAL_EDAMAGED,
                          WAL__VOTE_PATH ": older than the log says it was; this node could vote "
                                         "twice. Put the newest one back, or set the node up anew");
done:
    free(bytes);
    s->bytes = NULL;
    return status;
}

/* How far the log went and was durable, as the headers say that can still be read. */
static void survey(struct scan *s, const struct names *names, size_t first, struct beyond *all)
{
    for (size_t i = first; i < names->count; i++) {
        struct wal__super super = {.seq = names->items[i].seq,
                                   .first_index = names->items[i].first_index};
        struct beyond one;
        uint8_t *bytes;

        wal__segment_path(s->path, &super);
        if (read_segment(s, &bytes) != DKV_OK)
            continue;
        s->bytes = bytes;
        s->at = s->slot = 0;
        if ((s->len >= WAL__BLOCK && wal__super_decode(bytes, &super) == DKV_OK) ||
            (s->len >= 2 * WAL__BLOCK && wal__super_decode(bytes + WAL__BLOCK, &super) == DKV_OK)) {
            one = look_beyond(s, super.salt);
            all->index = one.index > all->index ? one.index : all->index;
            all->mark = one.mark > all->mark ? one.mark : all->mark;
            all->mark = super.durable > all->mark ? super.durable : all->mark;
        }
        s->bytes = NULL;
        free(bytes);
    }
}

static int tell_damage(struct scan *s, const struct names *names, size_t first,
                       struct dkv_error *err)
{
    struct beyond all = {.mark = s->mark};
    uint64_t at = s->at;
    char path[WAL__PATH_MAX], entries[64];

    memcpy(path, s->path, sizeof(path));
    survey(s, names, first, &all);
    if (all.index < all.mark)
        all.index = all.mark;
    if (all.index < s->fault_from)
        snprintf(entries, sizeof(entries), "entries from %llu on",
                 (unsigned long long)s->fault_from);
    else
        snprintf(entries, sizeof(entries), "entries %llu to %llu",
                 (unsigned long long)s->fault_from, (unsigned long long)all.index);
    return dkv_error_set(
        err, WAL_EDAMAGED,
        "%s: offset %llu: %s; %s cannot be trusted, durable up to %llu. Keep the data directory; "
        "what can be put back is a backup of it%s",
        path, (unsigned long long)at, s->fault, entries, (unsigned long long)all.mark,
        s->w->config.is_alone ? "" : ". The others go on if they are a majority");
}

static int list_segments(struct wal *w, uint64_t first_seq, struct names *names_out)
{
    struct fs *fs = w->config.env->fs;
    size_t kept = 0;
    int status = fs->ops->list(fs, WAL__DIR, note_name, names_out);

    if (status != DKV_OK || names_out->count == 0)
        return status;
    qsort(names_out->items, names_out->count, sizeof(names_out->items[0]), by_seq);
    for (size_t i = 0; i < names_out->count; i++) {
        w->next_seq = names_out->items[i].seq + 1;
        if (names_out->items[i].seq >= first_seq)
            names_out->items[kept++] = names_out->items[i];
    }
    names_out->count = kept;
    return DKV_OK;
}

static int check_whole(struct scan *s, const struct names *names, struct dkv_error *err)
{
    raft_term last_term =
        s->out->runs_count == 0 ? s->out->base_term : s->out->runs[s->out->runs_count - 1].term;

    for (size_t i = 1; i < names->count; i++) {
        if (names->items[i].seq != names->items[i - 1].seq + 1)
            return dkv_error_set(err, WAL_EDAMAGED,
                                 WAL__DIR
                                 ": segment %016llx is missing. Keep the data directory and set "
                                 "this node up anew, or put the file back",
                                 (unsigned long long)names->items[i - 1].seq + 1);
    }
    if (s->out->last_index < s->mark)
        return damaged(s, s->out->last_index + 1, "the log ends before what was durable");
    if (s->w->vote.hard.term < last_term)
        return dkv_error_set(
            err, WAL_EDAMAGED,
            WAL__VOTE_PATH ": term %llu, but the log has an entry of term %llu; this node "
                           "could vote twice. Put the newest file back, or set the node up "
                           "anew",
            (unsigned long long)s->w->vote.hard.term, (unsigned long long)last_term);
    return DKV_OK;
}

int wal__is_new(struct fs *fs, bool *is_new_out)
{
    struct names names = {0};
    struct fs_file *base;
    int status = fs->ops->list(fs, WAL__DIR, note_name, &names);

    *is_new_out = names.count == 0;
    free(names.items);
    if (status == DKV_OK && fs->ops->open(fs, WAL__BASE_PATH, FS_READ, &base) == DKV_OK) {
        (void)fs->ops->close(base);
        *is_new_out = false;
    }
    return status;
}

int wal__recover(struct wal *w, struct wal_recovery *recovery_out, struct dkv_error *err)
{
    struct scan s = {.w = w, .out = recovery_out};
    struct names names = {0};
    struct wal__base base;
    size_t i = 0;
    int status = wal__base_read(w->config.env->fs, &w->config.identity, &base, err);

    if (status != DKV_OK)
        return status;
    recovery_out->base_index = recovery_out->last_index = base.index;
    recovery_out->base_term = base.term;
    recovery_out->base_data = base.data;
    recovery_out->base_data_len = base.data_len;
    s.mark = base.index;
    w->base_first_seq = base.first_seq;
    w->base_is_whole = base.is_whole;
    w->next_seq = base.first_seq > 0 ? base.first_seq : 1;
    status = list_segments(w, base.first_seq, &names);
    if (status != DKV_OK)
        (void)dkv_error_set(err, status, WAL__DIR ": %s", status_text(status));
    for (i = 0; i < names.count && status == DKV_OK; i++)
        status = scan_segment(&s, &names, i, err);
    if (status == DKV_OK)
        status = check_whole(&s, &names, err);
    if (status == WAL_EDAMAGED && s.fault != NULL)
        status = tell_damage(&s, &names, i > 0 ? i - 1 : 0, err);
    free(names.items);
    recovery_out->hard = w->vote.hard;
    w->base_index = recovery_out->base_index;
    w->last_index = w->durable_index = recovery_out->last_index;
    return status;
}

raft_term wal_recovery_term(const struct wal_recovery *recovery, raft_index index)
{
    raft_term term = recovery->base_term;

    for (uint32_t i = 0; i < recovery->runs_count && recovery->runs[i].first <= index; i++)
        term = recovery->runs[i].term;
    return term;
}

void wal_recovery_fini(struct wal_recovery *recovery)
{
    for (uint32_t i = 0; i < recovery->configs_count; i++)
        free((void *)(uintptr_t)recovery->configs[i].data);
    free(recovery->configs);
    free(recovery->runs);
    free(recovery->base_data);
    *recovery = (struct wal_recovery){0};
}
