/*
 * parcels.h - what the relay says to a shard through its mailbox.
 */
#pragma once

#include "broker/broker.h"
#include "io/mailbox.h"
#include "ws/frame.h"

struct shard;

#define PARCEL_HEAD_MAX 272 /* with a channel's name */

/* --- from the relay: writes the head of a parcel, returns its size --- */

/* A frame to every subscriber of the channel; the parcel's body is the payload. */
MUST_CHECK size_t parcels_write_publication(uint8_t head[PARCEL_HEAD_MAX], struct slice channel,
                                            enum ws_opcode opcode);

/* What the connection sent was not published: it is closed with 1013. */
MUST_CHECK size_t parcels_write_refusal(uint8_t head[PARCEL_HEAD_MAX], uint32_t number,
                                        uint32_t generation, enum broker_outcome outcome);

/* Which channels match the glob? The shard answers with relay_report. */
MUST_CHECK size_t parcels_write_report(uint8_t head[PARCEL_HEAD_MAX], uint32_t report,
                                       struct slice glob);

/* The step of the tick: acts on what has arrived, up to a bound, as long as fan-outs have room for
 * more. True when more may wait. */
MUST_CHECK bool parcels_take(struct shard *shard);
