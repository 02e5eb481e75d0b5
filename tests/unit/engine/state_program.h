/* A program with two threads that is stopped and changed by a patch made by hand (state_fixture.h). */
#ifndef MOLT_TESTS_STATE_PROGRAM_H
#define MOLT_TESTS_STATE_PROGRAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/threads/stop.h"
#include "engine/update/quarantine.h"
#include "engine/update/sites.h"
#include "engine/update/state.h"
#include "tests/unit/engine/fake_heap.h"
#include "tests/unit/engine/state_fixture.h"

#define OBJECT_CALL 0x1010
#define ARRAY_CALL 0x1020
#define WRAPPER_CALL 0x1030
#define BYTES_CALL 0x1040
#define UNKNOWN_CALL 0x1050

struct program {
    atomic_bool finish;
    pthread_t threads[2];
    atomic_ulong counts[2];
    unsigned object, array, wrapped, bytes, unknown;
    struct fixture *fixture;
    uint32_t from, to;
    struct state *state;
    struct world world;
    struct update_report report;
};

static void *program_spin(void *argument)
{
    struct program *program = argument;

    while (!program->finish) {
        for (int i = 0; i < 2; i++) {
            if (pthread_equal(program->threads[i], pthread_self())) {
                atomic_fetch_add(&program->counts[i], 1);
            }
        }
    }
    return NULL;
}

/* The heap is empty, its sites are those of the calls above; layouts `from` and `to` are the caller's. */
static inline void program_begin(struct program *program)
{
    *program = (struct program){ 0 };
    for (int i = 0; i < 2; i++) {
        pthread_create(&program->threads[i], NULL, program_spin, program);
    }
    quarantine_free_earlier();
    fake_heap_reset();
    site_memory_forget(0);
    program->object = fake_heap_site((uintptr_t[]){ OBJECT_CALL, 0 });
    program->array = fake_heap_site((uintptr_t[]){ ARRAY_CALL, 0 });
    program->wrapped = fake_heap_site((uintptr_t[]){ WRAPPER_CALL, OBJECT_CALL, 0 });
    program->bytes = fake_heap_site((uintptr_t[]){ BYTES_CALL, 0 });
    program->unknown = fake_heap_site((uintptr_t[]){ UNKNOWN_CALL, 0 });
    program->fixture = fixture_create();
}

/* Says what the calls make, when program->from is known. */
static inline void program_sites(struct program *program)
{
    fixture_site(program->fixture, OBJECT_CALL, MOLT_SITE_OBJECT, program->from);
    fixture_site(program->fixture, ARRAY_CALL, MOLT_SITE_ARRAY, program->from);
    fixture_site(program->fixture, WRAPPER_CALL, MOLT_SITE_WRAPPER, 0);
    fixture_site(program->fixture, BYTES_CALL, MOLT_SITE_BYTES, 0);
    fixture_site(program->fixture, UNKNOWN_CALL, MOLT_SITE_UNKNOWN, 0);
}

static inline void program_stop(struct program *program)
{
    pid_t stuck;

    assert_int_equal(state_plan(&program->fixture->patch, false, &program->state), 0);
    assert_non_null(program->state);
    assert_int_equal(state_reserve(program->state), 0);
    state_reserve_blocks(program->state);
    assert_int_equal(stop_world(20000, &program->world, &stuck), 0);
}

static inline int program_migrate(struct program *program)
{
    program_stop(program);
    int status = state_migrate(program->state, &program->world, &program->report);
    return status < 0 ? status : state_validate(program->state, &program->report);
}

static inline void program_end(struct program *program)
{
    resume_world();
    for (int i = 0; i < 2; i++) { /* nobody was hurt */
        unsigned long before = atomic_load(&program->counts[i]);
        while (atomic_load(&program->counts[i]) == before) {
        }
    }
    program->finish = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(program->threads[i], NULL);
    }
    state_destroy(program->state);
    free(program->fixture);
}

#endif
