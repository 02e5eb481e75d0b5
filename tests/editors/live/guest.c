#include <stdio.h>
#include <stdlib.h>

#include "guest.h"

static struct guest *guests;

void guest_add(int number)
{
    struct guest *guest = malloc(sizeof(struct guest));

    guest->next = guests;
    guest->number = number;
    snprintf(guest->name, sizeof(guest->name), "guest %d", number);
    guests = guest;
}
