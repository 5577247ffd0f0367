// What triton_onnx_backend.cc calls of Triton and of onnxruntime. No package on PyPI carries their headers, so the few
// functions are declared here as the stable C ABIs of the two have them: Triton's backend API 1.19, which the backend
// checks when it is loaded, and version 1 of onnxruntime's table of functions, which every later release gives, too.

#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtValue;
struct OrtTypeInfo;
struct OrtShape;
struct OrtMemoryInfo;
struct OrtAllocator;

// Only what is called has a name; the numbers below are the functions' places in the table.
struct OrtApi {
    void* skipped_0[2];
    const char* (*GetErrorMessage)(const OrtStatus*);
    OrtStatus* (*CreateEnv)(int severity, const char* id, OrtEnv**);
    void* skipped_4[3];
    OrtStatus* (*CreateSession)(const OrtEnv*, const char* path, const OrtSessionOptions*, OrtSession**);
    void* skipped_8[1];
    OrtStatus* (*Run)(OrtSession*, const void* options, const char* const* inputs, const OrtValue* const* values,
                      size_t count, const char* const* outputs, size_t output_count, OrtValue** results);
    OrtStatus* (*CreateSessionOptions)(OrtSessionOptions**);
    void* skipped_11[13];
    OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int);
    OrtStatus* (*SetInterOpNumThreads)(OrtSessionOptions*, int);
    void* skipped_26[4];
    OrtStatus* (*SessionGetInputCount)(const OrtSession*, size_t*);
    OrtStatus* (*SessionGetOutputCount)(const OrtSession*, size_t*);
    void* skipped_32[1];
    OrtStatus* (*SessionGetInputTypeInfo)(const OrtSession*, size_t index, OrtTypeInfo**);
    void* skipped_34[2];
    OrtStatus* (*SessionGetInputName)(const OrtSession*, size_t index, OrtAllocator*, char**);
    OrtStatus* (*SessionGetOutputName)(const OrtSession*, size_t index, OrtAllocator*, char**);
    void* skipped_38[11];
    OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* shape,
                                                 size_t dimensions, int type, OrtValue**);
    void* skipped_50[1];
    OrtStatus* (*GetTensorMutableData)(OrtValue*, void**);
    void* skipped_52[3];
    OrtStatus* (*CastTypeInfoToTensorInfo)(const OrtTypeInfo*, const OrtShape**);
    void* skipped_56[4];
    OrtStatus* (*GetTensorElementType)(const OrtShape*, int*);
    OrtStatus* (*GetDimensionsCount)(const OrtShape*, size_t*);
    OrtStatus* (*GetDimensions)(const OrtShape*, int64_t*, size_t);
    void* skipped_63[2];
    OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtShape**);
    void* skipped_66[3];
    OrtStatus* (*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo**);
    void* skipped_70[6];
    OrtStatus* (*AllocatorFree)(OrtAllocator*, void*);
    void* skipped_77[1];
    OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator**);
    void* skipped_79[13];
    void (*ReleaseEnv)(OrtEnv*);
    void (*ReleaseStatus)(OrtStatus*);
    void (*ReleaseMemoryInfo)(OrtMemoryInfo*);
    void (*ReleaseSession)(OrtSession*);
    void (*ReleaseValue)(OrtValue*);
    void* skipped_97[1];
    void (*ReleaseTypeInfo)(OrtTypeInfo*);
    void (*ReleaseTensorTypeAndShapeInfo)(OrtShape*);
    void (*ReleaseSessionOptions)(OrtSessionOptions*);
};
static_assert(offsetof(OrtApi, ReleaseSessionOptions) == 100 * sizeof(void*), "a place in the table is wrong");

struct OrtApiBase {
    const OrtApi* (*GetApi)(uint32_t version);
    const char* (*GetVersionString)();
};
const OrtApiBase* OrtGetApiBase();

struct TRITONSERVER_Error;
struct TRITONBACKEND_Backend;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;
using Error = TRITONSERVER_Error;
using Instance = TRITONBACKEND_ModelInstance;
using Request = TRITONBACKEND_Request;
using Response = TRITONBACKEND_Response;

Error* TRITONSERVER_ErrorNew(int code, const char* message);
const char* TRITONSERVER_ErrorMessage(Error*);
void TRITONSERVER_ErrorDelete(Error*);
uint32_t TRITONSERVER_DataTypeByteSize(int type);
Error* TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor);
Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model*, int* kind, const char** location);
Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t*);
Error* TRITONBACKEND_ModelInstanceModel(Instance*, TRITONBACKEND_Model**);
Error* TRITONBACKEND_ModelInstanceSetState(Instance*, void*);
Error* TRITONBACKEND_ModelInstanceState(Instance*, void**);
Error* TRITONBACKEND_ModelInstanceReportStatistics(Instance*, Request*, bool success, uint64_t begun, uint64_t run,
                                                   uint64_t done, uint64_t ended);
Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(Instance*, uint64_t rows, uint64_t begun, uint64_t run,
                                                        uint64_t done, uint64_t ended);
Error* TRITONBACKEND_RequestInputByIndex(Request*, uint32_t, TRITONBACKEND_Input**);
Error* TRITONBACKEND_RequestOutputCount(Request*, uint32_t*);
Error* TRITONBACKEND_RequestOutputName(Request*, uint32_t, const char**);
Error* TRITONBACKEND_RequestRelease(Request*, uint32_t flags);
Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input*, const char** name, int* type, const int64_t** shape,
                                     uint32_t* dimensions, uint64_t* bytes, uint32_t* buffers);
Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input*, uint32_t, const void**, uint64_t* bytes, int* memory,
                                 int64_t* memory_id);
Error* TRITONBACKEND_ResponseNew(Response**, Request*);
Error* TRITONBACKEND_ResponseOutput(Response*, TRITONBACKEND_Output**, const char* name, int type,
                                    const int64_t* shape, uint32_t dimensions);
Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output*, void**, uint64_t bytes, int* memory, int64_t* memory_id);
Error* TRITONBACKEND_ResponseSend(Response*, uint32_t flags, Error*);
}
