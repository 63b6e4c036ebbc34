/*
 * Fuzzes the journal of limpet-tune: the input as it is, and sealed with the digest that it would
 * have. What is taken names files, folders and keys that apply may write, and nothing else, and
 * says the same after it is written and read once more.
 */
#include "tuning/drop_in.h"
#include "tuning/journal.h"

#include <stdlib.h>

static struct journal first;
static struct journal second;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void require_ours(const struct journal *journal)
{
    for (size_t i = 0; i < journal->value_count; i++) {
        require(live_is_key(journal->values[i].key));
        require(strchr(journal->values[i].key, '/') == NULL);
    }
    for (size_t i = 0; i < journal->file_count; i++) {
        require(drop_in_is_file(journal->files[i].path));
    }
    for (size_t i = 0; i < journal->folder_count; i++) {
        require(drop_in_is_folder(journal->folders[i].path));
    }
}

static void read_and_write(char *text, size_t size)
{
    char message[JOURNAL_LINE_SIZE] = "";
    char *again = NULL;
    size_t again_size = 0;

    if (!journal_decode(&first, text, size, message)) {
        require(message[0] != '\0');
        return;
    }
    require_ours(&first);
    FILE *out = open_memstream(&again, &again_size);
    require(out != NULL);
    journal_encode(&first, out);
    require(fclose(out) == 0);
    require(journal_decode(&second, again, again_size, message));
    require(second.value_count == first.value_count && second.file_count == first.file_count &&
            second.folder_count == first.folder_count);
    for (size_t i = 0; i < first.value_count; i++) {
        require(strcmp(first.values[i].to, second.values[i].to) == 0);
        require(strcmp(first.values[i].old[GOAL_ORIGINAL], second.values[i].old[GOAL_ORIGINAL]) ==
                0);
    }
    free(again);
}

/* NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 64);

    require(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    read_and_write(text, size);
    if (size > 0) {
        memcpy(text, data, size);
    }
    int end = snprintf(text + size, 64, "end %016llx\n",
                       (unsigned long long)journal_digest(slice_from(text, size)));
    read_and_write(text, size + (size_t)end);
    free(text);
    return 0;
}
