// What belongs to one JavaScript environment (the main thread or a worker), and what the whole process shares.
#pragma once

#include <napi.h>

#include "core/error.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

// The process's threads, created on first use with one thread a usable core (PYRAMIDION_THREADS overrides) and never
// destroyed: process.exit() does not wait for jobs, so their threads must keep what they run on.
ThreadPool& shared_pool();

// The error as an instance of the class handed to setErrorClass, or a plain Error with a code property before that.
Napi::Error to_javascript(Napi::Env env, const Error& error);

class JobQueue;
JobQueue& job_queue(Napi::Env env);

// Sets up the environment's state and exports setErrorClass.
void register_environment(Napi::Env env, Napi::Object exports);

}  // namespace pyramidion
